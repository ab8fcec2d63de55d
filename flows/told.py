"""What a Ray task tells its flow run while it works.

It goes through a small actor, which a thread of the driver empties. Nobody waits for it, and
nothing that fails here ends the task or the run.
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


@contextmanager
def told(take: Callable[[T], None]) -> Generator[Teller[T]]:
    """What a task of the block gets, so that ``take`` is called here with each item that it tells.

    Inside a Ray session. ``take`` runs in a thread of its own with the caller's context, in the
    items' order.
    """
    import ray

    from hcp.training.stopping import Mailbox

    box: Any = ray.remote(Mailbox).options(num_cpus=0).remote()
    ended = threading.Event()

    def empty(patience_s: float) -> None:
        try:
            for _, item in ray.get(box.take.remote(), timeout=patience_s):
                take(item)
        except Exception as error:  # the actor died with its node, or is too slow: the work goes on
            logger.debug("what a task tells is not known: %r", error)

    def follow() -> None:
        while not ended.wait(POLL_S):
            empty(POLL_S * 10)

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
