"""What Ray tasks and workers tell the driver: it waits in a small actor, which the driver empties.

Nobody waits for the driver, and nothing that fails here ends a task or a run.
"""

import contextvars
import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)

POLL_S, LAST_S = 0.5, 3.0  # seconds between two looks; for the last one
DELIVERY_S = 1.0  # most that a task waits until an item is in the actor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Teller(Generic[T]):
    """Hands an item to the driver; pickles into a task."""

    box: Any  # handle of the actor

    def __call__(self, item: T) -> None:
        """Send it; one whose driver is gone is lost.

        It is there before the task goes on, and so before it ends: the driver's last look would
        else come before an item that is still on its way.
        """
        import ray

        try:
            ray.wait([self.box.put.remote("told", item)], timeout=DELIVERY_S)
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
def emptied(box: Any, take: Callable[[Any], None], *, every_s: float = POLL_S) -> Generator[None]:
    """Call ``take`` with each item of an actor while the block runs, and once more at its end.

    In a thread of its own with the caller's context, in the items' order.
    """
    drain, ended = Drain(box), threading.Event()

    def empty(patience_s: float) -> None:
        for item in drain(patience_s):
            try:
                take(item)
            except Exception as error:  # of the taker
                logger.debug("what is told is not taken: %r", error)

    def follow() -> None:
        while not ended.wait(every_s):
            empty(every_s)

    run = contextvars.copy_context().run  # so that a flow's loggers work in `take`
    thread = threading.Thread(target=run, args=(follow,), daemon=True, name="hcp-told")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LAST_S)
        empty(LAST_S)


@contextmanager
def told(take: Callable[[T], None]) -> Generator[Teller[T]]:
    """What a task of the block gets, so that ``take`` is called here with each item that it tells.

    Inside a Ray session; ``take`` runs as :func:`emptied` says.
    """
    import ray

    from hcp.training.stopping import Mailbox

    box: Any = ray.remote(Mailbox).options(num_cpus=0).remote()
    try:
        with emptied(box, lambda noted: take(noted[1])):
            yield Teller(box)
    finally:
        ray.kill(box)
