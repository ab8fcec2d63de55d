"""Items made ahead: same items, same order, bounded, and stopped with their consumer."""

import threading
from collections.abc import Iterator
from time import perf_counter, sleep

import pytest

from priors.ahead import ahead


def test_the_same_items_in_the_same_order() -> None:
    with ahead(iter(range(50)), depth=3, name="test") as items:
        assert list(items) == list(range(50))


def test_both_sides_work_at_once() -> None:
    def slow() -> Iterator[int]:
        for i in range(10):
            sleep(0.02)
            yield i

    start = perf_counter()
    with ahead(slow(), depth=2, name="test") as items:
        for _ in items:
            sleep(0.02)
    assert perf_counter() - start < 0.36  # 0.4 one after the other


def test_an_exception_comes_where_its_item_would_have() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    with ahead(broken(), depth=5, name="test") as items:
        iterator = iter(items)
        assert next(iterator) == 1
        with pytest.raises(KeyError, match="two"):
            next(iterator)


def test_the_generator_is_bounded_and_closed_when_its_consumer_leaves() -> None:
    made: list[int] = []
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                made.append(len(made))
                yield len(made)
        finally:
            closed.set()

    with ahead(endless(), depth=2, name="test") as items:
        next(iter(items))
    assert closed.is_set()
    assert len(made) <= 5
