"""Garbage collection removes what no version names, and only that."""

import pytest

from storage.errors import VersionError
from storage.gc import collect_garbage
from storage.layout import Root
from storage.shards import committed
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
