"""How far a flow run is, told to whoever watches it in this process: a terminal's bar."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """How far one part of a run is."""

    key: str  # of the part: extract, train
    done: int
    total: int
    text: str  # the same for people, with the rate and what is left


Watcher = Callable[[Step], None]
_watchers: list[Watcher] = []


@contextmanager
def watched_by(watcher: Watcher) -> Generator[None]:
    """Inside, every step is told to the watcher, from any thread."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def tell(step: Step) -> None:
    """Tell everybody who watches."""
    for watcher in tuple(_watchers):
        watcher(step)
