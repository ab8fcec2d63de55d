"""Where a unit's shard lies, and when it counts."""

import json

import pytest

from storage.errors import ShardError
from storage.layout import Root
from storage.markers import committed, is_committed, read_shard_info

UNIT = "ab" * 16


def _mark(root, name: str = f"{UNIT}.json", **changes) -> None:
    fields = {
        "contract": 1, "fingerprint": UNIT, "n_samples": 2, "n_rejects": 1,
        "rejects_by_reason": {"no_person": 1}, "digests": {"tar": "0"}, "sizes_bytes": {"tar": 5},
    }  # fmt: skip
    (root / "shards").mkdir(exist_ok=True)
    (root / "shards" / name).write_text(json.dumps(fields | changes))


def test_only_a_marker_commits(tmp_path):
    root = Root.of(tmp_path)
    assert committed(root) == set()
    (tmp_path / "shards").mkdir()
    for name in (f"{UNIT}.tar", f"{UNIT}.parquet", f".tmp-1-{UNIT}.json"):
        (tmp_path / "shards" / name).write_bytes(b"x")
    assert not is_committed(root, UNIT)
    assert committed(root) == set()
    _mark(tmp_path)
    assert is_committed(root, UNIT)
    assert committed(root) == {UNIT}


def test_a_marker_says_what_is_in_the_shard(tmp_path):
    _mark(tmp_path)
    info = read_shard_info(Root.of(tmp_path), UNIT)
    assert (info.fingerprint, info.n_samples, info.n_rejects) == (UNIT, 2, 1)
    assert info.sizes_bytes == {"tar": 5}


@pytest.mark.parametrize(
    "changes", [{"contract": 99}, {"fingerprint": "cd" * 16}, {"more": 1}, {"contract": None}]
)
def test_a_marker_of_another_kind_is_refused(tmp_path, changes):
    _mark(tmp_path, **changes)
    with pytest.raises(ShardError, match=UNIT):
        read_shard_info(Root.of(tmp_path), UNIT)


def test_a_missing_or_broken_marker_is_named(tmp_path):
    with pytest.raises(ShardError, match="is not committed"):
        read_shard_info(Root.of(tmp_path), UNIT)
    _mark(tmp_path)
    for text in ("{", "[]", "{}"):
        (tmp_path / "shards" / f"{UNIT}.json").write_text(text)
        with pytest.raises(ShardError, match="not a shard's marker"):
            read_shard_info(Root.of(tmp_path), UNIT)
