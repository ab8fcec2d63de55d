"""A machine of a training will be taken back: a checkpoint first. Knows nothing of Ray."""

import logging
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Notices:
    """Whether a machine was announced to go since it was last asked."""

    def __init__(self) -> None:
        """Nothing is announced yet."""
        self._new = threading.Event()

    def take(self) -> bool:
        """Whether there is a notice that was not taken yet."""
        found = self._new.is_set()
        self._new.clear()
        return found

    def watch(self, announced: Callable[[], object], *, every_s: float = 1.0) -> None:
        """Ask, from a thread that ends with the process, what is announced; each change is one.

        Args:
            announced: something that can be compared; None: nothing is. What it raises (no answer)
                ends the watch, not the training.
            every_s: seconds between two questions.
        """

        def run() -> None:
            known, pause = None, threading.Event()
            try:
                while not pause.wait(every_s):
                    found = announced()
                    if found is not None and found != known:
                        self._new.set()
                    known = found
            except Exception as error:
                logger.info("not told any more of machines that will go: %s", error)

        threading.Thread(target=run, daemon=True, name="hcp-draining").start()


NOTICES = Notices()
"""Of this process, a worker."""
