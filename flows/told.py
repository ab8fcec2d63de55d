"""What Ray tasks and workers tell the driver: it waits in a small actor, which the driver empties.

Nobody waits for it, and nothing that fails here ends a task or a run.
"""

import contextvars
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)

POLL_S, LAST_S = 0.5, 3.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Teller(Generic[T]):
    """Hands an item to the driver; pickles into a task."""

    box: Any  # handle of the actor

    def __call__(self, item: T) -> None:
        """Send it; one whose driver is gone is lost."""
        try:
            self.box.put.remote("told", item)
        except Exception as error:  # whatever Ray raises where the actor's node is lost
            logger.debug("not told: %r", error)


class Drain:
    """Empties an actor that has ``take``, and loses nothing where it is slow to answer."""

    def __init__(self, box: Any) -> None:
        self._box = box
        self._asked: Any = None  # an answer that did not come in time, and comes later

    def __call__(self, patience_s: float) -> list[Any]:
        """What is in it; nothing where it does not answer, or is gone."""
        import ray

        try:
            self._asked = self._asked or self._box.take.remote()
            if not ray.wait([self._asked], timeout=patience_s)[0]:
                return []
            asked, self._asked = self._asked, None
            return ray.get(asked)
        except Exception as error:  # it died with its node: the work goes on
            logger.debug("what is told is not known: %r", error)
            return []


@contextmanager
def told(take: Callable[[T], None]) -> Generator[Teller[T]]:
    """What a task of the block gets, so that ``take`` is called here with each item that it tells.

    Inside a Ray session. ``take`` runs in a thread of its own with the caller's context, in the
    items' order.
    """
    import ray

    from hcp.training.stopping import Mailbox

    box: Any = ray.remote(Mailbox).options(num_cpus=0).remote()
    drain, ended = Drain(box), threading.Event()

    def empty(patience_s: float) -> None:
        for _, item in drain(patience_s):
            try:
                take(item)
            except Exception as error:  # of the taker
                logger.debug("what is told is not taken: %r", error)

    def follow() -> None:
        while not ended.wait(POLL_S):
            empty(POLL_S)

    run = contextvars.copy_context().run  # so that a flow's loggers work in `take`
    thread = threading.Thread(target=run, args=(follow,), daemon=True, name="hcp-told")
    thread.start()
    try:
        yield Teller(box)
    finally:
        ended.set()
        thread.join(LAST_S)
        empty(LAST_S)
        ray.kill(box)
