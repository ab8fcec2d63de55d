"""``hcp down``: end the flow runs, then everything else, until no process is left."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from flows.stack.api import ACTIVE, PrefectApi
from flows.stack.config import StackConfig, StackError, remembered
from flows.stack.files import alone
from flows.stack.processes import end, kill_all, leader, left_of, marked
from flows.stack.services import services

LIMIT_S = 30.0  # of all; what has not ended by itself then is killed
_CANCEL_SHARE, _SERVICE_SHARE = 0.4, 0.4  # of it: for runs in progress, for each group of services
_ANSWER_S = 3.0  # of a server that may be as good as dead


def take_down(folder: Path, say: Callable[[str], None], *, limit_s: float = LIMIT_S) -> int:
    """Stop the stack of a folder, whose data stays; the number of processes that were ended.

    Flow runs in progress are cancelled, so that none is left as running in the server's database.

    Args:
        folder: of the stack.
        say: is told each step.
        limit_s: after so many seconds what still lives is killed.
    Raises:
        StackError: a process did not end even when it was killed.
    """
    with alone(folder, say):
        here = marked(folder)
        if not here:
            return 0
        config, end_s = remembered(folder) or StackConfig(folder=folder), time.monotonic() + limit_s
        api = PrefectApi(config.api_url, limit_s=_ANSWER_S)
        _cancel_runs(api, config.pool, say, until_s=end_s - (1 - _CANCEL_SHARE) * limit_s)
        for names in (("worker",), ("ray", "mlflow"), ("prefect",)):  # it hears of their ends
            left_s = max(0.0, end_s - time.monotonic())
            _end_services(config, names, say, patience_s=min(_SERVICE_SHARE * limit_s, left_s))
        left = kill_all(folder)
    if left:
        raise StackError(
            f"still there: {', '.join(f'process {each.pid}' for each in left)}; end them by hand"
        )
    return len(here)


def _cancel_runs(api: PrefectApi, pool: str, say: Callable[[str], None], *, until_s: float) -> None:
    if not api.healthy():
        return
    with suppress(httpx.HTTPError, ValueError):  # the next start settles what is left
        runs = api.runs(states=ACTIVE, pool=pool)
        for run in runs:
            api.set_state(run["id"], {"type": "CANCELLING", "message": "hcp down"})
        while api.runs(states=ACTIVE, pool=pool) and time.monotonic() < until_s:
            time.sleep(0.5)
        for run in runs:
            state = api.run(run["id"])["state_name"]
            say(f"run {run['name']} in progress: {state}; what was committed is kept, retry it")


def _end_services(
    config: StackConfig, names: tuple[str, ...], say: Callable[[str], None], *, patience_s: float
) -> None:
    here = marked(config.folder)
    asked: list[psutil.Process] = []
    for service in services(config):
        if service.name in names:
            process = leader(service, here)
            asked += [process] if process is not None else left_of(service, here)
    if end(asked, patience_s=patience_s):
        say(f"{' and '.join(names)} did not end within {patience_s:.0f} s, and will be killed")
