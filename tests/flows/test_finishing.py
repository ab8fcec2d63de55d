"""The first signal asks, and is raised when what was asked has ended; the second one ends all."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar

import pytest
from prefect.exceptions import TerminationSignal
from prefect.utilities.engine import can_ack_control_intent, capture_sigterm

from flows.finishing import finishing, signals_as_they_are
from flows.limits import RunLimits, RunTimeoutError, time_limit

VARIABLE = ContextVar[str]("VARIABLE")


@pytest.fixture
def prefects_handler() -> Iterator[None]:
    """SIGTERM raises in the main thread, as in a flow run's process."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: None)  # what Prefect sends the signal on to
    try:
        with capture_sigterm():
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def send(number: signal.Signals, after_s: float = 0.1) -> None:
    threading.Timer(after_s, os.kill, (os.getpid(), number)).start()


def test_what_it_returns_and_raises_comes_through_and_its_context_goes_along() -> None:
    VARIABLE.set("here")
    assert finishing(VARIABLE.get, ask=pytest.fail) == "here"
    with pytest.raises(ZeroDivisionError):
        finishing(lambda: 1 // 0, ask=pytest.fail)


@pytest.mark.usefixtures("prefects_handler")
@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGTERM, TerminationSignal), (signal.SIGINT, KeyboardInterrupt)],
)
def test_the_first_signal_asks_and_is_raised_in_the_end(
    number: signal.Signals, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    asked, ended = threading.Event(), threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def train() -> None:
        assert asked.wait(30)
        time.sleep(0.1)  # the checkpoint
        ended.set()
        raise ValueError("the disk is full")

    try:
        send(number)
        with pytest.raises(error):
            finishing(train, ask=asked.set)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set()
    assert "the disk is full" in caplog.text  # what the signal hides is said


@pytest.mark.usefixtures("prefects_handler")
def test_prefects_own_handler_stays_in_place_meanwhile() -> None:
    assert can_ack_control_intent()
    assert finishing(can_ack_control_intent, ask=pytest.fail)  # else a cancel counts as a crash


@pytest.mark.usefixtures("prefects_handler")
def test_the_second_signal_ends_it_at_once() -> None:
    never, asked = threading.Event(), list[float]()
    send(signal.SIGTERM)
    send(signal.SIGTERM, 0.3)
    begun = time.monotonic()
    with pytest.raises(TerminationSignal):
        finishing(lambda: never.wait(60), ask=lambda: asked.append(time.monotonic()))
    assert asked
    assert time.monotonic() - begun < 30
    never.set()


def test_the_time_limit_asks_too() -> None:
    asked = threading.Event()
    with pytest.raises(RunTimeoutError), time_limit(RunLimits(timeout_h=2 / 3600)):
        finishing(lambda: asked.wait(30), ask=asked.set)
    assert asked.is_set()


def test_in_another_thread_it_is_a_plain_call() -> None:
    found: list[str] = []

    def run() -> None:
        finishing(lambda: found.append(threading.current_thread().name), ask=pytest.fail)

    thread = threading.Thread(target=run, name="other")
    thread.start()
    thread.join()
    assert found == ["other"]


def test_a_signal_that_compiled_code_wraps_is_still_a_signal() -> None:
    def wrapped(cause: BaseException | None) -> None:
        with signals_as_they_are():
            raise SystemError("returned a result with an exception set") from cause

    with pytest.raises(TerminationSignal):
        wrapped(TerminationSignal(signal.SIGTERM))
    with pytest.raises(SystemError):
        wrapped(None)
