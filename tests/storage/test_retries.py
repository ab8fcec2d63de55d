"""Rejects that work later: a new shard stands in for the old one, which stays as it was."""

from pathlib import Path

import pytest

from storage.errors import ShardError
from storage.gc import collect_garbage
from storage.layout import Root
from storage.markers import read_shard_info
from storage.records import Reject, Unit
from storage.retries import current_shards, merge_retry, units_to_retry
from storage.shard_reader import iter_samples, read_rejects
from storage.shards import commit_unit
from storage.verify import verify_root
from storage.versions import open_version, publish_version


@pytest.fixture
def commit(make_sample):
    """Commit a unit whose records at these positions are rejected for these reasons."""

    def make(root: Path, unit: Unit, refused: dict[int, str]) -> None:
        commit_unit(
            Root.of(root),
            unit,
            outcomes=[
                Reject(key=r.key, uri=r.uri, reason=refused[i], detail="x")
                if i in refused
                else make_sample(r, i)
                for i, r in enumerate(unit.records)
            ],
        )

    return make


def test_what_works_now_joins_the_old_samples(tmp_path, make_unit_of, make_sample, commit):
    root, work = Root.of(tmp_path / "data"), Root.of(tmp_path / "work")
    unit, other = make_unit_of(8, "a"), make_unit_of(4, "b")
    commit(root, unit, {1: "unreadable", 3: "no_person", 6: "poison"})
    commit(root, other, {0: "no_person"})
    planned = [unit.fingerprint, other.fingerprint]
    before = publish_version(root, planned, config={})
    ((found, retried),) = units_to_retry(root, [unit, other], reasons={"unreadable", "poison"})
    assert found == unit
    assert [r.uri for r in retried.records] == ["a/001.jpg", "a/006.jpg"]
    commit_unit(
        work,
        retried,
        outcomes=[
            make_sample(retried.records[0], 1),
            Reject(key=retried.records[1].key, uri="a/006.jpg", reason="poison", detail="again"),
        ],
    )
    shard = merge_retry(root, unit, retried=retried, retry_root=work)
    assert list(current_shards(root, planned)) == [shard, other.fingerprint]
    samples = list(iter_samples(root, shard))
    assert [s.uri for s in samples] == [f"a/{i:03}.jpg" for i in (0, 1, 2, 4, 5, 7)]
    assert {(r.uri, r.reason) for r in read_rejects(root, shard)} == {
        ("a/003.jpg", "no_person"),
        ("a/006.jpg", "poison"),
    }
    old = {s.key: s.image_jpeg for s in iter_samples(root, unit.fingerprint)}
    assert {s.key: s.image_jpeg for s in samples if s.key in old} == old
    after = publish_version(root, list(current_shards(root, planned)), config={})
    assert (before.n_samples, after.n_samples) == (8, 9)
    assert before.n_samples + before.n_rejects == after.n_samples + after.n_rejects == 12
    assert open_version(root, before.id).shards == tuple(planned)
    assert verify_root(root) == []
    assert collect_garbage(root, dry_run=True) == []


def test_a_retry_in_vain_changes_nothing(tmp_path, make_unit_of, commit):
    root, work = tmp_path / "data", tmp_path / "work"
    unit = make_unit_of(3)
    commit(root, unit, {1: "unreadable"})
    ((_, retried),) = units_to_retry(Root.of(root), [unit], reasons={"unreadable"})
    commit(work, retried, {0: "unreadable"})
    assert merge_retry(Root.of(root), unit, retried=retried, retry_root=Root.of(work)) is None
    assert list(current_shards(Root.of(root), [unit.fingerprint])) == [unit.fingerprint]


def test_the_same_records_give_the_same_shard(tmp_path, make_unit_of, commit):
    unit = make_unit_of(5)
    shards = []
    for name in ("a", "b"):
        root, work = tmp_path / name, tmp_path / f"{name}-work"
        commit(root, unit, {1: "unreadable", 2: "unreadable"})
        ((_, retried),) = units_to_retry(Root.of(root), [unit], reasons={"unreadable"})
        commit(work, retried, {1: "unreadable"})
        shard = merge_retry(Root.of(root), unit, retried=retried, retry_root=Root.of(work))
        shards.append(read_shard_info(Root.of(root), shard))
    assert shards[0] == shards[1]


def test_a_shard_that_is_gone_stands_for_nothing(tmp_path, make_unit_of, commit):
    root, work = tmp_path / "data", tmp_path / "work"
    unit = make_unit_of(3)
    commit(root, unit, {1: "unreadable"})
    ((_, retried),) = units_to_retry(Root.of(root), [unit], reasons={"unreadable"})
    commit(work, retried, {})
    shard = merge_retry(Root.of(root), unit, retried=retried, retry_root=Root.of(work))
    assert read_shard_info(Root.of(root), shard).n_samples == 3
    for path in (root / "shards").glob(f"{shard}*"):
        path.unlink()
    assert list(current_shards(Root.of(root), [unit.fingerprint])) == [unit.fingerprint]
    (root / "retries" / f"{unit.fingerprint}.json").write_text("{")
    with pytest.raises(ShardError, match="not the note of a retry"):
        list(current_shards(Root.of(root), [unit.fingerprint]))
