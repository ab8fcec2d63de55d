"""Cancel: what needs time for its end, as a training for its checkpoint, gets it first.

Prefect's worker asks a run's process whether it takes a cancel for one, and then sends SIGTERM. The
process says yes only where Prefect's own handler of SIGTERM is in place; else the run would end as
Crashed. That handler raises in the main thread, so here the main thread does nothing but wait.
"""

import atexit
import contextvars
import logging
import os
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TypeVar

from prefect._internal.control_listener import get_intent
from prefect.exceptions import Pause, TerminationSignal

logger = logging.getLogger(__name__)

_SIGNALS = (TerminationSignal, KeyboardInterrupt)  # SIGTERM, Ctrl-C

_AGAIN_S = 0.5  # what is asked may have just begun

T = TypeVar("T")


def finishing(call: Callable[[], T], *, ask: Callable[[], None]) -> T:
    """Call, in a thread where this is the main one; the first signal only asks for its end.

    So does the end of the time that it has (``flows.limits.time_limit``).

    Args:
        call: what takes its time.
        ask: called at the first SIGTERM or Ctrl-C, and again until the call returns, which it must
            bring about; in the main thread.

    Raises:
        TerminationSignal, KeyboardInterrupt, TimeoutError: one came, and the call has ended; or a
            second one came, and nobody waits for it any more.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()  # no signal is handled here: who runs the thread asks
    future: Future[T] = Future()
    context = contextvars.copy_context()
    thread = threading.Thread(
        target=lambda: context.run(_fulfil, future, call), daemon=True, name="hcp-finishing"
    )
    try:
        thread.start()
        while not wait([future], timeout=_AGAIN_S).done:
            pass  # a time limit's exception may be raised between two calls only
        return future.result()
    except BaseException as reason:
        if future.done():
            raise
        try:
            while not future.done():
                ask()
                wait([future], timeout=_AGAIN_S)
        except _SIGNALS:
            raise reason from None
        if (error := future.exception()) is not None:
            logger.warning("ended as asked: %s", error)
        raise


@contextmanager
def leaves_quickly() -> Generator[None]:
    """A worker's process that ends because its run was cancelled or paused does not tidy up.

    Taking apart an interpreter with torch and Ray in it takes seconds, for which Prefect waits
    before it says that the run is cancelled. All that is ours has been closed by then.
    """
    try:
        yield
    except Pause:
        atexit.register(_leave)
        raise
    except TerminationSignal:
        if get_intent() is not None:  # else Prefect says by the exit code how it ended
            atexit.register(_leave)
        raise


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def signals_as_they_are() -> Generator[None]:
    """A signal ends the block as such, not as a failure of the work.

    Compiled code, such as Ray's, makes a ``SystemError`` of what its handler raises.
    """
    try:
        yield
    except SystemError as error:
        if isinstance(error.__cause__, _SIGNALS):
            raise error.__cause__ from None
        raise


def _fulfil(future: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
