"""Plans: content-defined cuts, fingerprints, and the streamed parquet file."""

import dataclasses
import statistics
from itertools import pairwise

import pytest

from storage.canonical import key_of
from storage.errors import ShardError
from storage.layout import Root
from storage.plan import PlanConfig, make_unit, open_plan, plan_units, write_plan
from storage.records import SourceRecord


def _records(n: int, prefix: str = "p/") -> list[SourceRecord]:
    uris = [f"{prefix}{i:06}.jpg" for i in range(n)]
    return [
        SourceRecord(key=key_of(uri), uri=uri, caption=f"c {uri}", content_tag="t") for uri in uris
    ]


def _cut(records, size=50, salt="s"):
    return list(plan_units(records, config=PlanConfig(unit_size=size), salt=salt))


def test_units_hold_every_record_once_in_order_and_within_bounds():
    records = _records(20_000)
    units = _cut(records)
    config = PlanConfig(unit_size=50)
    assert [record for unit in units for record in unit.records] == records
    sizes = [len(unit.records) for unit in units]
    assert max(sizes) <= config.max_size
    assert min(sizes[:-1]) >= config.min_size
    assert 40 < statistics.mean(sizes) < 60


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_units(size):
    units = _cut(_records(300), size)
    assert sum(len(unit.records) for unit in units) == 300
    assert max(len(unit.records) for unit in units) <= 3 * size


@pytest.mark.parametrize("position", [0, 777, 2500, 4999])
def test_a_few_changes_change_only_the_units_that_hold_them(position):
    records = _records(5000)
    before = {unit.fingerprint for unit in _cut(records)}
    extra = dataclasses.replace(records[position], uri="new", key=key_of(f"new{position}"))
    added = {u.fingerprint for u in _cut([*records[:position], extra, *records[position:]])}
    removed = {u.fingerprint for u in _cut(records[:position] + records[position + 1 :])}
    edited = dataclasses.replace(records[position], content_tag="other bytes")
    changed = {u.fingerprint for u in _cut([*records[:position], edited, *records[position + 1 :]])}
    assert len(changed - before) == 1
    assert len(added - before) <= 3
    assert len(removed - before) <= 3


def test_every_fact_is_in_the_fingerprint():
    (record,) = _records(1)
    others = [
        dataclasses.replace(record, caption="other"),
        dataclasses.replace(record, caption=None),
        dataclasses.replace(record, attributes={"a": 1}),
        dataclasses.replace(record, content_tag="u"),
        dataclasses.replace(record, key="0" * 16),
    ]
    names = {make_unit([r], salt="s").fingerprint for r in (record, *others)}
    assert len(names | {make_unit([record], salt="other").fingerprint}) == 7
    assert make_unit([record], salt="s").fingerprint in names


def test_fingerprints_are_the_same_on_every_machine():
    unit = make_unit(_records(2), salt="s")
    assert unit.fingerprint == "4f2b49b6dbeff087bfdbb1718edf44d8"


def test_units_end_where_a_tar_ends():
    records = [
        dataclasses.replace(record, uri=f"{index // 7}.tar#{record.uri}")
        for index, record in enumerate(_records(30))
    ]
    units = _cut(records, 100)
    assert [len(unit.records) for unit in units] == [7, 7, 7, 7, 2]
    for first, second in pairwise(units):
        assert first.records[-1].uri[0] != second.records[0].uri[0]


def test_a_plan_reads_back_and_its_id_is_its_content(tmp_path):
    records = [dataclasses.replace(r, attributes={"a": [1, "ü"]}) for r in _records(500)]
    records[3] = dataclasses.replace(records[3], caption=None)
    units = _cut(records, 20)
    plan = write_plan(Root.of(tmp_path / "r"), iter(units))
    again = write_plan(Root.of(tmp_path / "s"), units)
    assert list(plan.units()) == units
    assert list(plan.fingerprints()) == [unit.fingerprint for unit in units]
    assert (plan.n_units, plan.n_records) == (len(units), 500)
    assert plan.id == again.id != write_plan(Root.of(tmp_path / "s"), units[1:]).id
    assert open_plan(Root.of(tmp_path / "r"), plan.id) == plan
    assert [p.name for p in (tmp_path / "r/plans").iterdir()] == [f"{plan.id}.parquet"]


def test_a_listing_that_fails_leaves_no_plan(tmp_path):
    def failing():
        yield from _cut(_records(100), 10)
        raise RuntimeError("listing broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        write_plan(Root.of(tmp_path), failing())
    assert list((tmp_path / "plans").iterdir()) == []


def test_missing_and_broken_plans(tmp_path):
    with pytest.raises(ShardError, match="no plan abc"):
        open_plan(Root.of(tmp_path), "abc")
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans/abc.parquet").write_bytes(b"no")
    with pytest.raises(ShardError, match=r"abc\.parquet"):
        open_plan(Root.of(tmp_path), "abc")


def test_unit_size_must_be_positive():
    with pytest.raises(ValueError, match="unit_size"):
        PlanConfig(unit_size=0)
