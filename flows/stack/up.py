"""``hcp up``: start what does not run yet, all at the same time, and wait until it is ready."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from flows.stack.api import PrefectApi
from flows.stack.causes import cause
from flows.stack.config import StackConfig, StackError, remember
from flows.stack.files import alone, clear_ray_sessions, write_client_files
from flows.stack.leftovers import settle_leftovers
from flows.stack.processes import last_lines, log_file, start
from flows.stack.services import Service, environment, inherited
from flows.stack.settle import Wish, settled
from flows.stack.state import StackState, answers, look

_LOOK_EVERY_S = 0.5
_DEPLOY, _PREFECT, _WORKER = "deployments", "prefect", "worker"


@dataclass(slots=True, kw_only=True)
class _Start:
    """One run of ``hcp up``: what was begun, and what is not ready yet."""

    config: StackConfig
    say: Callable[[str], None]
    waiting: dict[str, Service] = field(default_factory=dict[str, Service])
    begun: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)
    at_s: dict[str, float] = field(default_factory=dict[str, float])  # time of its start
    pool_is_open: bool = False

    def begin(self, service: Service) -> None:
        variables = inherited(os.environ) | environment(self.config)
        self.at_s[service.name] = time.time()
        self.begun[service.name] = start(service, self.config.folder, variables)


def bring_up(wish: Wish, say: Callable[[str], None]) -> StackState:
    """Start the stack, or what of it does not run; what runs already is left as it is.

    Args:
        wish: which stack, and what is new about it.
        say: is told each step.

    Raises:
        StackError: a library is missing, a port is taken, the folder cannot be written, something
            did not start (its log's end is in the message), or a stack that runs already has other
            settings.
    """
    with alone(wish.folder, say):
        config, missing = settled(wish, say)
        remember(config)
        write_client_files(config)
        run = _Start(config=config, say=say)
        for service in missing:
            if service.name == "ray":
                clear_ray_sessions(config)
            if service.name != _WORKER:  # which ends where it finds no server
                run.begin(service)
        deploy = _deployments(config, wish.places)
        run.begin(deploy)
        run.waiting = {service.name: service for service in (*missing, deploy)}
        _wait(run, wish.limit_s)
    return look(config)


def _wait(run: _Start, limit_s: float) -> None:
    begun = time.monotonic()
    while run.waiting:
        for name, service in tuple(run.waiting.items()):
            if _is_ready(run, service):
                del run.waiting[name]
                run.say(f"{name}: ready after {time.monotonic() - begun:.0f} s")
        if not run.pool_is_open and _PREFECT not in run.waiting:
            _open_pool(run)
        if time.monotonic() - begun > limit_s:
            raise StackError(_not_ready(run, limit_s))
        time.sleep(_LOOK_EVERY_S)


def _is_ready(run: _Start, service: Service) -> bool:
    process = run.begun.get(service.name)
    if process is None:
        return False  # the worker, which waits for the server
    code = process.poll()
    if service.name == _DEPLOY and code == 0:
        return True
    if code is not None:
        raise StackError(_ended(run.config, service, code))
    if service.name == _DEPLOY:
        return False
    return answers(service, run.config, since_s=run.at_s[service.name])


def _open_pool(run: _Start) -> None:
    """Make the work pool, and start the worker where there is none.

    A server that is busy with its own start may not answer in time: the next look tries again.
    """
    api, pool = PrefectApi(run.config.api_url), run.config.pool
    try:
        api.make_pool(pool)
        _check_pool(api, pool)
        lines = settle_leftovers(api, pool) if _WORKER in run.waiting else []
    except httpx.HTTPError:
        return
    run.pool_is_open = True
    for line in lines:
        run.say(line)
    if _WORKER in run.waiting:
        run.begin(run.waiting[_WORKER])


def _check_pool(api: PrefectApi, pool: str) -> None:
    found = api.pool(pool)
    if found is not None and found["type"] != "process":
        raise StackError(
            f"--pool {pool}: is a work pool of type {found['type']}, and the stack's worker starts "
            "processes; give another name, or delete that pool in Prefect's UI"
        )


def _deployments(config: StackConfig, places: Mapping[str, str]) -> Service:
    return Service(
        name=_DEPLOY,
        command=("-m", "flows.stack.deploy", config.pool, json.dumps(dict(places))),
        sign="flows.stack.deploy",
        library="prefect",
        link="",
    )


def _ended(config: StackConfig, service: Service, code: int) -> str:
    log = log_file(config.folder, service.name)
    end = last_lines(log)
    advice = cause(end)
    what = f"{service.name} ended with code {code}" + (f": {advice}" if advice else "")
    return f"{what}\n{end}\nwhole log: {log}; what did start runs on: `hcp status`, `hcp down`"


def _not_ready(run: _Start, limit_s: float) -> str:
    logs = [f"{name}:\n{last_lines(log_file(run.config.folder, name), 5)}" for name in run.waiting]
    return (
        f"not ready within {limit_s:g} s: {', '.join(run.waiting)}; the machine may be busy: `hcp "
        "up` again goes on waiting, `hcp status` shows what runs, `hcp down` ends it\n"
        + "\n".join(logs)
    )
