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

_CANCEL_LIMIT_S = 20
_PATIENCE_S = 15


def take_down(folder: Path, say: Callable[[str], None]) -> int:
    """Stop the stack of a folder, whose data stays; the number of processes that were ended.

    Flow runs in progress are cancelled, so that none is left as running in the server's database.

    Raises:
        StackError: a process did not end even when it was killed.
    """
    with alone(folder, say):
        here = marked(folder)
        if not here:
            return 0
        config = remembered(folder) or StackConfig(folder=folder)
        _cancel_runs(PrefectApi(config.api_url), config.pool, say)
        for names in (("worker",), ("ray", "mlflow"), ("prefect",)):  # it hears of their ends
            _end_services(config, names)
        left = kill_all(folder)
    if left:
        raise StackError(
            f"still there: {', '.join(f'process {each.pid}' for each in left)}; end them by hand"
        )
    return len(here)


def _cancel_runs(api: PrefectApi, pool: str, say: Callable[[str], None]) -> None:
    if not api.healthy():
        return
    with suppress(httpx.HTTPError, ValueError):  # the next start settles what is left
        runs = api.runs(states=ACTIVE, pool=pool)
        for run in runs:
            api.set_state(run["id"], {"type": "CANCELLING", "message": "hcp down"})
        deadline = time.monotonic() + _CANCEL_LIMIT_S
        while api.runs(states=ACTIVE, pool=pool) and time.monotonic() < deadline:
            time.sleep(0.5)
        for run in runs:
            state = api.run(run["id"])["state_name"]
            say(f"run {run['name']} in progress: {state}; what was committed is kept, retry it")


def _end_services(config: StackConfig, names: tuple[str, ...]) -> None:
    here = marked(config.folder)
    asked: list[psutil.Process] = []
    for service in services(config):
        if service.name in names:
            process = leader(service, here)
            asked += [process] if process is not None else left_of(service, here)
    end(asked, patience_s=_PATIENCE_S)
