"""A rebuild on disk; and the golden set, which has what an earlier version of the code wrote."""

import json
import shutil
from pathlib import Path

import pytest

from storage.layout import Root
from storage.plan import open_plan
from storage.retries import current_shards
from storage.shard_reader import read_rejects
from storage.verify import verify_root
from storage.versions import list_versions, open_version
from storage.work import open_work, publish_work

GOLDEN = Path(__file__).parents[1] / "golden" / "data"
VERSION, PLAN = "087adefe7626544b", "d3787558a2131e5b"


@pytest.fixture
def golden(tmp_path: Path) -> Root:
    """A copy of the golden set's root."""
    shutil.copytree(GOLDEN, tmp_path / "data")
    return Root.of(tmp_path / "data")


def test_the_golden_set_is_read() -> None:
    version = open_version(GOLDEN)
    assert version.id == VERSION
    assert verify_root(GOLDEN) == []
    samples = list(version.iter_samples())
    assert len(samples) == version.n_samples == version.samples.count_rows()
    assert all(sample.people and sample.mask.max() >= 1 for sample in samples)
    rejects = [reject for name in version.shards for reject in read_rejects(version.root, name)]
    assert len(rejects) == version.n_rejects == version.rejects.count_rows()
    assert {reject.reason for reject in rejects} == set(version.rejects_by_reason)


def test_over_the_golden_set_nothing_is_left_to_do(golden: Root) -> None:
    files = sorted(Path(golden.uri).rglob("*"))
    units = list(open_plan(golden, PLAN).units())
    work = open_work(golden, units, settings=Path(golden.settings).read_text())
    assert (work.plan.id, work.todo, list(work.units())) == (PLAN, frozenset(), [])
    before = open_version(golden)
    assert tuple(current_shards(golden, work.plan.fingerprints())) == before.shards
    version, new = publish_work(work, config=before.config, duplicates="keep", distance_bits=0)
    assert (version, new) == (before, False)
    assert sorted(Path(golden.uri).rglob("*")) == files


def test_work_is_what_has_no_shard(tmp_path, fill_root, make_unit_of) -> None:
    root = Root.of(tmp_path)
    done = fill_root(root, 2)
    units = [make_unit_of(10, f"u{index}") for index in range(3)]
    work = open_work(root, iter(units), settings=json.dumps({"source": "x"}))
    assert [unit.fingerprint for unit in units[:2]] == done
    assert list(work.units()) == units[2:]
    assert json.loads(Path(root.settings).read_text()) == {"source": "x"}
    fill_root(root, 3)
    version, new = publish_work(work, config={}, duplicates="exact", distance_bits=0)
    assert new
    assert list_versions(root) == [version.id]
    assert version.shards == tuple(unit.fingerprint for unit in units)
