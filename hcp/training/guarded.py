"""What must not end a training: its failures are said once, and it is tried again."""

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Guarded:
    """Calls what may fail; a failure is said when it begins, and again only after it worked."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

    def __call__(self, what: str, act: Callable[[], None]) -> None:
        """Do it; ``what`` names it in the message."""
        try:
            act()
        except Exception as error:  # whatever the libraries behind it raise
            if what not in self._failing:
                self._failing.add(what)
                logger.warning("%s failed, the training goes on: %r", what, error)
        else:
            self._failing.discard(what)
