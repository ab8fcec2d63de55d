"""How a training is asked to stop: SIGTERM to a worker or to the driver. Knows nothing of Ray.

The first SIGTERM asks: the step is finished, a checkpoint is written, and the run ends. A second
one, or the end of the driver's grace time, does what SIGTERM did before.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

ASKED = threading.Event()
"""Whether this process, a worker, is to stop."""


_OPEN: list["StopRequest"] = []
"""Of the trainings that this process drives now."""


def note_sigterm() -> None:
    """From now on the first SIGTERM to this process sets ``ASKED``; call it in the main thread.

    Python runs the handler when the main thread next runs Python code: a Ray Train worker's does
    at each poll of its controller, every two seconds.
    """
    _first_sigterm(ASKED.set)


class StopRequest:
    """Whether the driver was asked to stop, and when."""

    def __init__(self, grace_s: float) -> None:
        """Nobody has asked yet; once somebody does, there are ``grace_s`` seconds."""
        self._grace_s = grace_s
        self._asked = False
        self._signalled_s: float | None = None
        self.before: Any = signal.SIG_DFL  # what SIGTERM did before

    @property
    def asked(self) -> bool:
        """Whether the driver is to stop."""
        return self._asked

    def ask(self, *, in_grace: bool = True) -> None:
        """Ask; the grace time runs from the first time, where there is one.

        Args:
            in_grace: whether somebody waits, as who sends SIGTERM does: a run that is paused has
                as long as it needs.
        """
        self._asked = True
        if in_grace and self._signalled_s is None:
            self._signalled_s = time.monotonic()

    def end_after_grace(self) -> None:
        """Where the grace time is over, a second SIGTERM to this process; call it regularly."""
        if self._signalled_s is not None and time.monotonic() - self._signalled_s > self._grace_s:
            self._grace_s = float("inf")
            os.kill(os.getpid(), signal.SIGTERM)

    def hand_on(self) -> None:
        """Do what SIGTERM did before, where it came and had a handler: it decides on the end."""
        if self._signalled_s is not None and callable(self.before):
            self.before(signal.SIGTERM, None)


@contextmanager
def sigterm_asks(grace_s: float) -> Generator[StopRequest]:
    """The first SIGTERM to this process only asks, while the block runs.

    Outside the main thread no handler can be set: SIGTERM does what it did, and whoever runs there
    ``ask_all`` s.
    """
    request = StopRequest(grace_s)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        request.before = _first_sigterm(request.ask)
    _OPEN.append(request)
    try:
        yield request
    finally:
        _OPEN.remove(request)
        if in_main:
            signal.signal(signal.SIGTERM, request.before)


def ask_all(*, in_grace: bool = True) -> None:
    """Ask all trainings that this process drives, in whatever thread, to stop."""
    for request in tuple(_OPEN):
        request.ask(in_grace=in_grace)


def _first_sigterm(call: Callable[[], None]) -> Any:
    before: Any = signal.getsignal(signal.SIGTERM)

    def handler(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGTERM, before)  # the second one is not ours
        call()

    signal.signal(signal.SIGTERM, handler)
    return before


class Mailbox:
    """What the workers tell the driver, and whether it wants them to stop; runs as a Ray actor."""

    def __init__(self) -> None:
        self._items: list[tuple[str, Any]] = []
        self._stop = False

    def put(self, kind: str, value: Any) -> None:
        """Leave something for the driver: a step's metrics ("step"), a sentence ("note")."""
        self._items.append((kind, value))

    def take(self) -> list[tuple[str, Any]]:
        """What came since the last call, in order."""
        items, self._items = self._items, []
        return items

    def stop(self) -> None:
        """Ask the workers to stop."""
        self._stop = True

    def stopping(self) -> bool:
        """Whether the workers are to stop."""
        return self._stop


def watch(stopping: Callable[[], bool], *, every_s: float = 0.25) -> None:
    """Set ``ASKED`` once ``stopping()`` is true, from a thread that ends with the process.

    A call that fails (the driver's node is gone) is tried again: its training is not.
    """

    def run() -> None:
        while not ASKED.wait(every_s):
            with suppress(Exception):
                if stopping():
                    ASKED.set()

    threading.Thread(target=run, daemon=True, name="hcp-stop").start()
