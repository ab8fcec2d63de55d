"""What a run does when it is paused: all that waits in it ends by Prefect's own signal."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.flows import Flow
from prefect.states import Running, Suspended
from prefect.task_runners import ThreadPoolTaskRunner

from flows.suspension import begun_before, pausable_sleep, raise_if_suspended, suspended
from flows.suspension import when_suspended as when


@pytest.fixture
def run() -> Iterator[FlowRunContext]:
    """The context of a flow run, as Prefect's engine makes it, without a server."""
    with context_of() as made:
        yield made


def context_of(**run: Any) -> FlowRunContext:
    return FlowRunContext.model_construct(
        flow=Flow(lambda: None, name="tried"),
        flow_run=FlowRun.model_construct(**run),
        task_runner=ThreadPoolTaskRunner(),
    )


def pause(run: FlowRunContext) -> None:
    run.flow_run_suspension_request.mark_requested(Suspended(timeout_seconds=60))


def test_outside_a_flow_run_nothing_is_paused() -> None:
    assert not suspended()
    raise_if_suspended()
    assert not begun_before()
    with when(pytest.fail, every_s=0.01):
        pausable_sleep(0.05)


def test_a_paused_run_ends_by_prefects_own_signal(run: FlowRunContext) -> None:
    assert not suspended()
    raise_if_suspended()
    pause(run)
    assert suspended()
    with pytest.raises(Pause):
        raise_if_suspended()
    assert not issubclass(Pause, Exception)  # no handler of errors takes it for one


def test_who_waits_is_told_from_another_thread(run: FlowRunContext) -> None:
    told: list[str] = []
    with when(lambda: told.append(threading.current_thread().name), every_s=0.01):
        time.sleep(0.05)
        assert told == []
        pause(run)
        deadline = time.monotonic() + 10
        while len(told) < 2 and time.monotonic() < deadline:  # again: it may have begun since
            time.sleep(0.01)
    assert len(told) >= 2
    assert set(told) == {"hcp-suspension"}


def test_a_long_pause_between_two_tries_ends_with_the_run(run: FlowRunContext) -> None:
    begun = time.monotonic()
    threading.Timer(0.1, pause, (run,)).start()
    with pytest.raises(Pause):
        pausable_sleep(60, every_s=0.02)
    assert time.monotonic() - begun < 30


def test_a_sleep_lasts_as_long_as_it_should(run: FlowRunContext) -> None:
    begun = time.monotonic()
    pausable_sleep(0.2, every_s=0.05)
    assert 0.2 <= time.monotonic() - begun < 10


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


@pytest.mark.parametrize(
    ("count", "now", "expected"),
    [(1, NOON, False), (2, LATER, True), (1, LATER, True)],
    ids=["first", "retry", "resumed"],  # which Prefect does not count
)
def test_a_retry_and_a_resumed_run_were_begun_before(
    count: int, now: datetime, expected: bool
) -> None:
    with context_of(run_count=count, start_time=NOON, state=Running(timestamp=now)):
        assert begun_before() is expected


def test_a_run_that_has_no_start_yet_was_not_begun_before() -> None:
    with context_of(run_count=0, start_time=None, state=None):
        assert not begun_before()
