"""The hunt for poison samples, against a simulated worker that dies of some keys."""

import math

import pytest

from priors.poison import PoisonHunt, UnitTask
from storage.records import SourceRecord, Unit


def records(n: int) -> list[SourceRecord]:
    return [
        SourceRecord(key=f"{i:016x}", uri=f"{i}.jpg", caption="x", content_tag="t")
        for i in range(n)
    ]


def hunt(n: int, guilty: set[int]) -> tuple[set[int], int]:
    found = PoisonHunt.of(records(n))
    probes = 0
    while (group := found.next_group()) is not None:
        probes += 1
        if any(int(r.key, 16) in guilty for r in group):
            found.died(group)
    return {int(key, 16) for key in found.poison}, probes


@pytest.mark.parametrize(
    ("n", "guilty"), [(1, {0}), (2, {1}), (7, {3}), (64, {0}), (65, {64}), (64, {3, 4, 60})]
)
def test_exactly_the_guilty_are_found_with_few_probes(n: int, guilty: set[int]) -> None:
    found, probes = hunt(n, guilty)
    assert found == guilty
    assert probes <= 2 * len(guilty) * math.ceil(math.log2(max(n, 2)))


def test_nobody_is_accused_when_no_half_dies() -> None:
    assert hunt(16, set()) == (set(), 2)


def test_a_unit_is_hunted_after_three_deaths_and_tried_without_its_poison() -> None:
    task = UnitTask(unit=Unit(fingerprint="f", records=records(4)))
    assert not task.suspect
    for _ in range(3):
        assert task.next_group() is None
        assert task.died(max_attempts=3)
        assert task.suspect
    while (group := task.next_group()) is not None:
        if any(int(r.key, 16) == 2 for r in group):
            assert task.died(max_attempts=3)
    assert task.poison == {f"{2:016x}"}
    assert task.suspect


def test_a_unit_that_kills_after_its_hunt_is_given_up() -> None:
    task = UnitTask(unit=Unit(fingerprint="f", records=records(4)))
    for _ in range(3):
        task.died(max_attempts=3)
    while task.next_group() is not None:
        pass
    assert [task.died(max_attempts=3) for _ in range(3)] == [True, True, False]
