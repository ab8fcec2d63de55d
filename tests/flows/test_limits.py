"""Time limits of runs."""

import time

import pytest

from flows.limits import RunLimits, RunTimeoutError, time_limit


@pytest.mark.timeout(120, method="thread")  # the other method needs the alarm itself
def test_what_takes_too_long_ends_and_says_which_setting() -> None:
    start = time.monotonic()
    with (
        pytest.raises(RunTimeoutError, match=r"within 5e-05 h \(limits.timeout_h\)"),
        time_limit(RunLimits(timeout_h=0.00005)),
    ):
        time.sleep(20)
    assert time.monotonic() - start < 10


def test_a_timeout_of_the_work_itself_stays_what_it_is() -> None:
    with pytest.raises(TimeoutError, match="socket"), time_limit(RunLimits(timeout_h=1.0)):
        raise TimeoutError("socket")


def test_without_a_limit_nothing_ends() -> None:
    with time_limit(RunLimits()):
        pass


@pytest.mark.parametrize("given", [{"wait_h": -1.0}, {"timeout_h": 0.0}])
def test_impossible_limits_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        RunLimits(**given)
