"""What a receiver gets that is slow, away for a while, or away for good."""

import logging
import threading
import time
from collections.abc import Sequence

import pytest

from storage import background
from storage.background import Background


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "PAUSE_S", 0.01)
    monkeypatch.setattr(background, "FIRST_WAIT_S", 0.01)


def test_items_arrive_in_order_and_once() -> None:
    seen: list[int] = []
    sender = Background[int](seen.extend, to="a list")
    for i in range(100):
        sender.put(i)
    assert sender.flush(5)
    sender.put(100)
    assert sender.close(5) == 0
    assert seen == list(range(101))


def test_putting_never_waits_for_the_receiver() -> None:
    gate = threading.Event()
    sender = Background[int](lambda _: (gate.wait(5), None)[1], to="a slow one")
    start = time.monotonic()
    for i in range(1000):
        sender.put(i)
    assert time.monotonic() - start < 1
    assert not sender.flush(0.05)
    gate.set()
    assert sender.close(5) == 0


def test_what_failed_is_said_once_and_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    calls = 0

    def receive(batch: Sequence[int]) -> None:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise ConnectionError("nobody there")
        seen.extend(batch)

    with caplog.at_level(logging.WARNING):
        sender = Background[int](receive, to="the server")
        sender.put(1)
        sender.put(2)
        assert sender.flush(5)
        sender.close(5)
    assert seen == [1, 2]
    assert [r.getMessage() for r in caplog.records] == [
        "the server: nobody there; trying again in the background",
        "the server: works again",
    ]


def test_closing_gives_up_on_a_receiver_that_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    def receive(_: Sequence[int]) -> None:
        raise ConnectionError("nobody there")

    sender = Background[int](receive, to="the server")
    sender.put(1)
    start = time.monotonic()
    assert sender.close(0.2) == 1
    assert time.monotonic() - start < 2
    assert "1 items were not delivered" in caplog.text


def test_a_receiver_that_is_away_for_long_costs_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "MAX_WAITING", 10)
    gate, seen = threading.Event(), list[int]()

    def receive(batch: Sequence[int]) -> None:
        if not gate.is_set():
            raise ConnectionError("nobody there")
        seen.extend(batch)

    sender = Background[int](receive, to="the server")
    for i in range(25):
        sender.put(i)
    gate.set()
    assert sender.close(5) == 15
    assert seen == list(range(15, 25))
