"""Pause and resume: what a run does when it is paused in the UI, and when it goes on.

Prefect suspends a paused run: its process is to end, and a worker starts it again when somebody
resumes it. Prefect looks between tasks; a task that takes hours looks itself, by these functions.
"""

import contextvars
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from prefect.context import FlowRunContext
from prefect.exceptions import Pause


def suspended() -> bool:
    """Whether this flow run, or the one that it belongs to, was paused since it began."""
    with suppress(Pause):
        raise_if_suspended()
        return False
    return True


def raise_if_suspended() -> None:
    """End the run, by Prefect's own signal, where it was paused; nothing outside a flow run.

    Raises:
        Pause: a ``BaseException``, which no handler of errors takes for one.
    """
    context = FlowRunContext.get()
    if context is not None:
        context.flow_run_suspension_request.raise_if_requested()


def pausable_sleep(seconds: float, *, every_s: float = 0.5) -> None:
    """Sleep, unless the run is paused before that.

    Raises:
        Pause: it was.
    """
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        raise_if_suspended()
        time.sleep(min(every_s, left_s))


def begun_before() -> bool:
    """Whether this flow run was begun before: a retry, or one that was resumed.

    Prefect does not count the latter among a run's starts; it has an earlier first start then.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.state is None:
        return False
    first = run.start_time
    return run.run_count > 1 or (first is not None and run.state.timestamp > first)


@contextmanager
def when_suspended(call: Callable[[], None], *, every_s: float = 0.5) -> Generator[None]:
    """While the block waits for something, call, from a thread, where the run is paused.

    And again until the block ends: what is to hear it may have just begun.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(every_s):
            if suspended():
                call()

    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(watch), daemon=True, name="hcp-suspension")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
