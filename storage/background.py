"""Items for a slow or unreliable receiver, handed over in order by a thread of its own."""

import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
MAX_WAITING = 200_000  # items kept for a receiver that is away; the oldest go first
PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0  # between deliveries: what comes meanwhile goes in one batch
PAUSE_PER_DELIVERY = 50  # times what the last one took, so that delivering stays below 2 % of time


class Background(Generic[T]):
    """Whoever puts an item in never waits and never sees an error.

    A delivery that fails is said once, and tried again with growing pauses until ``close``.
    """

    def __init__(
        self,
        receive: Callable[[Sequence[T]], None],
        *,
        to: str,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        """Start the thread.

        Args:
            receive: takes items in order; what it raises is a failed delivery, and the same items
                come again, together with later ones.
            to: the receiver's name, for messages.
            say: takes the messages.
        """
        self._receive, self._to, self._say = receive, to, say
        self._waiting: deque[T] = deque(maxlen=MAX_WAITING)
        self._lock = threading.Lock()
        self._closing, self._idle = threading.Event(), threading.Event()
        self._wanted = threading.Event()  # somebody waits for the delivery
        self._idle.set()
        self._dropped = 0
        self._deadline_s: float | None = None
        # The caller's context goes along, so that a flow's loggers work in `receive`.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._deliver,), daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Add an item."""
        with self._lock:
            self._dropped += len(self._waiting) == MAX_WAITING
            self._waiting.append(item)
            self._idle.clear()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is delivered; False where that took too long."""
        self._wanted.set()
        return self._idle.wait(timeout_s)

    def close(self, timeout_s: float) -> int:
        """Deliver what is left, for at most so long; the number of items that were lost."""
        self._deadline_s = time.monotonic() + timeout_s
        self._closing.set()
        self._wanted.set()
        self._thread.join(timeout_s)
        with self._lock:
            lost = len(self._waiting) + self._dropped
            self._waiting.clear()
        if lost:
            self._say(f"{self._to}: {lost} items were not delivered")
        return lost

    def _deliver(self) -> None:
        wait_s, failing = PAUSE_S, False
        while True:
            (self._closing if failing else self._wanted).wait(wait_s)
            self._wanted.clear()
            last, start_s = self._closing.is_set(), time.monotonic()
            if self._out_of_time():
                return
            with self._lock:
                batch, dropped = list(self._waiting), self._dropped
            try:
                if batch:
                    self._receive(batch)
            except Exception as error:  # whatever the receiver's library raises
                if not failing:
                    self._say(f"{self._to}: {error}; trying again in the background")
                wait_s = min(2 * wait_s, LONGEST_WAIT_S) if failing else FIRST_WAIT_S
                failing = True
                if last:  # `wait` returns at once from now on
                    time.sleep(min(wait_s, FIRST_WAIT_S))
                continue
            if failing:
                self._say(f"{self._to}: works again")
            took_s = time.monotonic() - start_s
            wait_s, failing = min(max(PAUSE_S, PAUSE_PER_DELIVERY * took_s), LONGEST_PAUSE_S), False
            self._forget(len(batch), dropped)
            if last and not self._waiting:
                return

    def _forget(self, delivered: int, dropped: int) -> None:
        with self._lock:
            # What was pushed out during the delivery was delivered.
            pushed_out = min(self._dropped - dropped, delivered)
            self._dropped -= pushed_out
            for _ in range(delivered - pushed_out):
                self._waiting.popleft()
            if not self._waiting:
                self._idle.set()

    def _out_of_time(self) -> bool:
        return self._deadline_s is not None and time.monotonic() >= self._deadline_s
