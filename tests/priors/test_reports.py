"""Reports of units and runs add up."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from priors.reports import ReportSum, StageClock, UnitReport


def unit(*, samples: int, rejects: int, skipped: bool = False) -> UnitReport:
    return UnitReport(
        fingerprint="0" * 32,
        n_samples=samples,
        n_rejects=rejects,
        rejects_by_reason={"no_person": rejects} if rejects else {},
        stage_seconds={"read": 0.5, "pose": 1.0},
        model_seconds=1.0,
        seconds=2.0,
        skipped=skipped,
    )


def test_units_add_up_and_skipped_ones_cost_nothing() -> None:
    total = ReportSum()
    total.started -= 10.0
    for report in (
        unit(samples=3, rejects=1),
        unit(samples=2, rejects=2),
        unit(samples=9, rejects=0, skipped=True),
    ):
        total.add(report)
    found = total.total(n_actors=2, n_deaths=1, poison=("k",))
    assert (found.n_units, found.n_skipped, found.n_samples, found.n_rejects) == (3, 1, 14, 3)
    assert found.rejects_by_reason == {"no_person": 3}
    assert found.stage_seconds == {"read": 1.0, "pose": 2.0}
    assert found.images_per_s == pytest.approx(0.8, abs=0.05)  # 8 computed photos in 10 s
    assert found.busy_fraction == pytest.approx(0.1, abs=0.01)  # 2 s of 2 actors' 10 s
    assert json.loads(json.dumps(asdict(found)))["poison"] == ["k"]


def test_a_clock_adds_up_its_stages() -> None:
    clock = StageClock()
    clock.add("decode", 1.5)
    clock.add("decode", 0.25)
    with pytest.raises(KeyError), clock.stage("pose"):
        raise KeyError
    assert clock.seconds()["decode"] == 1.75
    assert set(clock.seconds()) == {"decode", "pose"}  # a stage that failed took time too


def test_timed_items_are_the_same_and_lazy() -> None:
    clock = StageClock()
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(3):
            made.append(i)
            yield i

    timed = clock.timed("read", items())
    assert made == []
    assert next(timed) == 0
    assert made == [0]
    assert list(timed) == [1, 2]
    assert "read" in clock.seconds()
