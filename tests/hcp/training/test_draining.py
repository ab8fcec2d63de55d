"""A machine that will be taken back is told of once, and costs no step."""

import time
from collections.abc import Callable

from hcp.training.draining import Notices


def until(done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_each_change_of_what_is_announced_is_one_notice() -> None:
    notices, said = Notices(), list[object]([None])
    asked: list[object] = []

    def announced() -> object:
        asked.append(said[-1])
        return said[-1]

    notices.watch(announced, every_s=0.005)
    assert until(lambda: len(asked) > 2)
    assert not notices.take()
    for node in ("a", "a and b"):
        said.append(node)
        assert until(notices.take)
        n = len(asked)
        assert until(lambda n=n: len(asked) > n + 2)
        assert not notices.take()


def test_no_answer_ends_the_watch_alone() -> None:
    notices, asked = Notices(), list[int]()

    def announced() -> object:
        asked.append(1)
        raise ConnectionError("no head")

    notices.watch(announced, every_s=0.005)
    assert until(lambda: bool(asked))
    time.sleep(0.05)
    assert asked == [1]
    assert not notices.take()
