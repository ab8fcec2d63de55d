"""Budgets end a training by steps or by minutes."""

import pytest

from demo.train.schedule import Budget, Stopwatch, learning_rate


def test_progress_is_the_larger_share() -> None:
    budget = Budget(steps=100, minutes=2)
    assert budget.progress(25, 12.0) == 0.25
    assert budget.progress(25, 60.0) == 0.5
    assert budget.progress(101, 0.0) == 1.0
    assert budget.progress(0, 1e9) == 1.0


def test_the_record_says_what_ended_the_run() -> None:
    budget = Budget(steps=100, minutes=2)
    used = {"steps": 100, "processor_minutes": 1.5, "ended_by": "steps"}
    assert budget.record(100, 90.0) == used
    assert budget.record(99, 121.0) == {
        "steps": 99, "processor_minutes": 2.0, "ended_by": "minutes"
    }  # fmt: skip


@pytest.mark.parametrize(("steps", "minutes"), [(0, 1.0), (5, 0.0)])
def test_a_budget_of_nothing_is_refused(steps: int, minutes: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Budget(steps=steps, minutes=minutes)


def test_learning_rate_rises_then_falls() -> None:
    rates = [learning_rate(p / 100, peak=1.0) for p in range(101)]
    assert rates[0] < 0.05
    assert max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_a_stopwatch_goes_on_where_a_checkpoint_stood() -> None:
    now = [100.0]
    watch = Stopwatch(30.0, clock=lambda: now[0])
    now[0] += 5.0
    assert watch.elapsed_s == 35.0
