"""Verification finds what is wrong, and nothing where all is well."""

import json

import pytest

from storage.layout import Root
from storage.plan import write_plan
from storage.shards import commit_unit
from storage.verify import verify_listing, verify_root
from storage.versions import publish_version


@pytest.fixture
def root(tmp_path, fill_root, make_unit_of):
    publish_version(str(tmp_path), fill_root(str(tmp_path), 2), config={})
    write_plan(Root.of(tmp_path), [make_unit_of(10, "u0"), make_unit_of(10, "u1")])
    return tmp_path


def _shard(root, suffix):
    return sorted((root / "shards").glob(f"*.{suffix}"))[0]


def test_all_is_well(root):
    assert verify_root(str(root)) == []


@pytest.mark.parametrize("suffix", ["tar", "rejects.parquet"])
def test_changed_and_missing_files_are_named(root, suffix):
    file = _shard(root, suffix)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    (problem,) = verify_root(str(root))
    assert file.name in problem
    assert "sha256" in problem
    file.unlink()
    (problem,) = verify_root(str(root))
    assert "cannot be read" in problem


def test_markers_that_lie_are_found(root):
    file = _shard(root, "json")
    fields = json.loads(file.read_text())
    file.write_text(json.dumps(fields | {"n_samples": 5}))
    problems = " ".join(verify_root(str(root)))
    assert "expected 5 samples, got 9" in problems
    assert "version" in problems
    assert "10 records, but 5 samples + 1 rejects" in problems


def test_a_version_that_names_a_missing_shard(root):
    _shard(root, "json").unlink()
    (problem,) = verify_root(str(root))
    assert "names 1 shards not there" in problem


def test_a_broken_marker_version_and_plan(root, make_unit_of, make_sample):
    unit = make_unit_of(1, "new")
    commit_unit(Root.of(root), unit, outcomes=[make_sample(unit.records[0])])
    (root / f"shards/{unit.fingerprint}.json").write_text("{")
    next((root / "plans").iterdir()).write_bytes(b"no plan")
    (root / f"versions/{'0' * 16}.json").write_text("{}")
    problems = verify_root(str(root))
    assert len(problems) == 3


def test_the_listing_alone_tells_sizes_and_what_is_missing(root):
    assert verify_listing(str(root)) == []
    file = _shard(root, "parquet")
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    (problem,) = verify_listing(str(root))
    assert f"{file.name}: expected {len(data)} bytes by its marker, got {len(data) - 1}" in problem
    file.unlink()
    (problem,) = verify_listing(str(root))
    assert problem.endswith("is not there")
    _shard(root, "json").unlink()
    (problem,) = verify_listing(str(root))
    assert "names 1 shards not there" in problem


def test_each_shard_is_told_of(root):
    told: list[tuple[int, int]] = []
    verify_root(str(root), on_shard=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]
