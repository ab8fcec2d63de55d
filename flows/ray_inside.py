"""What of Ray's inside we set while it starts: for what it offers no option."""

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

_SETTER = "set_sigterm_handler"
_UV_HOOK = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"


def leave_uv_alone() -> None:
    """Keep Ray from packing the working directory where the command was started by ``uv run``.

    Its hook sends the whole folder (photos, shards) to the workers, and fails where no
    ``pyproject.toml`` lies in it. Our workers take the code that is installed where they run.
    """
    if os.environ.setdefault(_UV_HOOK, "0") != "0":
        return  # the user wants it
    if "ray" in sys.modules:  # which has read the variable already
        constants: Any = import_module("ray._private.ray_constants")
        setattr(constants, _UV_HOOK, False)


@contextmanager
def ends_with_us() -> Generator[None]:
    """What Ray starts in this block ends when this process ends it, or has ended, and not before.

    It gets a process group of its own: Prefect's worker cancels a run by a signal to its whole
    group, and Ray would be gone before a training has written its checkpoint. ``ray.init`` sets a
    handler of SIGTERM at its beginning, and takes seconds: the one that was there before stays.
    """
    services: Any = import_module("ray._private.services")
    popen = services.ConsolePopen
    services.ConsolePopen = partial(popen, process_group=0)
    try:
        with _keep_sigterm_handler():
            yield
    finally:
        services.ConsolePopen = popen


def end_at_once(session: str) -> None:
    """Where this process is killed, Ray's agents end seconds after it, and not a minute later.

    They would try for so long to tell Ray's head, which died with it, that the end of their node
    was unexpected, unless its log has these words.

    Args:
        session: the folder of a Ray that this process has started.
    """
    with Path(session, "logs", "raylet.out").open("a") as log:
        log.write("An end that no line 'Raylet received SIGTERM' announces is none to report.\n")


def end(*, ours: bool) -> None:
    """Disconnect from Ray; of one that this process has started nothing is left.

    Its workers would take seconds more to take themselves apart, with nothing left to do.

    Args:
        ours: whether this process has started it.
    """
    import ray

    workers = _workers_here() if ours else []
    ray.shutdown()
    for worker in workers:
        with suppress(psutil.Error):
            worker.kill()


def _workers_here() -> list[psutil.Process]:
    with suppress(psutil.Error):
        here = [each for each in psutil.Process().children() if each.name() == "raylet"]
        return [worker for node in here for worker in node.children(recursive=True)]
    return []


@contextmanager
def _keep_sigterm_handler() -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers can be read and set in the main thread only, and ray.init leaves them too
        return
    handler = signal.getsignal(signal.SIGTERM)
    private: Any = import_module("ray._private.utils")
    setter = getattr(private, _SETTER, None)
    setattr(private, _SETTER, lambda handler: None)
    try:
        yield
    finally:
        setattr(private, _SETTER, setter)
        signal.signal(signal.SIGTERM, handler)
