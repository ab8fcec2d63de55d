"""Garbage collection removes what no version names, and only that."""

import json

import pytest

from storage.errors import ShardError, VersionError
from storage.gc import collect_garbage
from storage.layout import DATA_SUFFIXES, Root
from storage.locations import exists, write_atomic
from storage.markers import committed
from storage.plan import write_plan
from storage.records import Reject
from storage.retries import current_shards
from storage.shards import commit_unit
from storage.verify import verify_root
from storage.versions import open_version, publish_version


def test_only_unnamed_shards_and_leftovers_go(tmp_path, fill_root):
    names = fill_root(str(tmp_path), 4)
    old = publish_version(str(tmp_path), names[:2], config={})
    publish_version(str(tmp_path), names[1:3], config={})
    (tmp_path / "shards/.tmp-1-abc-x.tar").write_bytes(b"half")
    (tmp_path / "shards/README").write_text("not ours")
    planned = collect_garbage(str(tmp_path), dry_run=True)
    assert committed(Root.of(tmp_path)) == set(names)
    assert collect_garbage(str(tmp_path), dry_run=False) == planned
    assert len(planned) == 5
    assert committed(Root.of(tmp_path)) == set(names[:3])
    assert len(list((tmp_path / "shards").iterdir())) == 3 * 4 + 1
    assert verify_root(str(tmp_path)) == []
    assert len(list(open_version(str(tmp_path), old.id).iter_samples())) == 18
    assert collect_garbage(str(tmp_path), dry_run=False) == []


def test_nothing_goes_without_a_readable_version(tmp_path, fill_root):
    names = fill_root(str(tmp_path), 1)
    with pytest.raises(VersionError, match="no version"):
        collect_garbage(str(tmp_path), dry_run=False)
    version = publish_version(str(tmp_path), names, config={})
    (tmp_path / f"versions/{version.id}.json").write_text("{")
    with pytest.raises(VersionError):
        collect_garbage(str(tmp_path), dry_run=False)
    assert committed(Root.of(tmp_path)) == set(names)


@pytest.fixture(params=["local", "memory"])
def retried(request, tmp_path, fill_root, make_unit_of, make_sample):
    """A root with a version, and notes: of the version's shard, of one that is gone, of no plan."""
    place = tmp_path if request.param == "local" else f"memory://gc-{tmp_path.name}"
    root = Root.of(place)
    names = fill_root(root, 3)
    write_plan(root, [make_unit_of(10, "u0"), make_unit_of(10, "u1")])
    publish_version(root, names, config={})
    for unit, shard in ((names[0], names[2]), (names[1], "0" * 32), ("1" * 32, names[1])):
        note = {"unit": unit, "shard": shard}
        write_atomic(root.retry_note(unit), json.dumps(note).encode())
    return root, names


def test_notes_and_scratch_of_retries_and_every_temporary_file_go(retried, make_unit_of):
    root, names = retried
    scratch = root.retry_work("abc")
    unit = make_unit_of(2, "again")
    rejects = [Reject(key=r.key, uri=r.uri, reason="no_person", detail="") for r in unit.records]
    commit_unit(scratch, unit, outcomes=rejects)
    write_atomic(root.run_log("rebuild"), b"{}")
    halves = [f"{folder}/.tmp-1-x" for folder in (root.runs, root.retries, root.plans)]
    for half in halves:
        write_atomic(half, b"half")
    expected = {scratch.shard(unit.fingerprint, suffix) for suffix in (*DATA_SUFFIXES, "json")}
    expected |= {root.retry_note(names[1]), root.retry_note("1" * 32), *halves}
    planned = collect_garbage(root, dry_run=True)
    assert set(planned) == expected
    assert all(exists(uri) for uri in planned)
    assert collect_garbage(root, dry_run=False) == planned
    assert not any(exists(uri) for uri in planned)
    assert not exists(scratch.uri)
    assert exists(root.run_log("rebuild"))
    assert next(current_shards(root, names[:1])) == names[2]
    assert verify_root(root) == []
    assert collect_garbage(root, dry_run=False) == []


def test_a_note_that_cannot_be_read_stops_it(retried):
    root, names = retried
    write_atomic(root.retry_note(names[0]), b"{")
    with pytest.raises(ShardError, match="not the note of a retry"):
        collect_garbage(root, dry_run=False)
    assert exists(root.retry_note(names[1]))
