"""Run a generator in a thread of its own, a bounded number of items ahead of its consumer."""

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from queue import Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")

_POLL_S = 0.1


@contextmanager
def ahead(items: Iterable[T], *, depth: int, name: str) -> Generator[Iterable[T]]:
    """The same items, made in another thread while the block uses the earlier ones.

    An exception of the generator is raised where its item would have come. When the block ends
    early, the generator is stopped and closed before ``ahead`` returns.

    Args:
        depth: at most so many items wait.
        name: of the thread, for a debugger.
    """
    waiting: Queue[tuple[bool, object]] = Queue(maxsize=depth)
    stop = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, waiting, stop), name=name, daemon=True)
    thread.start()
    try:
        yield _consume(waiting)
    finally:
        stop.set()
        thread.join()


def _produce(
    items: Iterable[object], waiting: "Queue[tuple[bool, object]]", stop: threading.Event
) -> None:
    iterator = iter(items)
    try:
        for item in iterator:
            if not _put(waiting, (True, item), stop):
                return
        _put(waiting, (False, None), stop)
    except BaseException as error:  # handed to the consumer, whatever it is
        _put(waiting, (False, error), stop)
    finally:
        if isinstance(iterator, Generator):
            iterator.close()


def _put(
    waiting: "Queue[tuple[bool, object]]", item: tuple[bool, object], stop: threading.Event
) -> bool:
    while not stop.is_set():
        try:
            waiting.put(item, timeout=_POLL_S)
            return True
        except Full:
            continue
    return False


def _consume(waiting: "Queue[tuple[bool, Any]]") -> Generator[Any]:
    while True:
        more, item = waiting.get()
        if more:
            yield item
        elif isinstance(item, BaseException):
            raise item
        else:
            return
