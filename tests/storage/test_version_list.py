"""The list of a root's versions: newest first, broken ones in it, nothing opened in vain."""

import os

from storage.version_list import count_versions, summarise_versions
from storage.versions import publish_version


def publish(root, names, times):
    versions = []
    for n, seconds in times.items():
        version = publish_version(root, names[:n], config={})
        os.utime(f"{root}/versions/{version.id}.json", (seconds, seconds))
        versions.append(version)
    return versions


def test_newest_first_with_counts(tmp_path, fill_root):
    root = str(tmp_path)
    old, new, middle = publish(root, fill_root(root), {1: 1000, 2: 3000, 3: 2000})
    found = list(summarise_versions(root))
    assert [each.id for each in found] == [new.id, middle.id, old.id]
    assert [(each.n_samples, each.n_rejects, each.n_shards) for each in found] == [
        (18, 2, 2), (27, 3, 3), (9, 1, 1),
    ]  # fmt: skip
    assert [each.is_latest for each in found] == [False, True, False]  # the one published last
    assert [each.published.timestamp() for each in found] == [3000, 2000, 1000]
    (tmp_path / "versions" / f"{old.id}.json").write_text("{")
    (tmp_path / "versions" / f"{new.id}.models.json").write_text("{}")
    assert count_versions(root) == 3
    assert [bool(each.problem) for each in summarise_versions(root)] == [True, False, False]
    assert len(list(summarise_versions(root, limit=2))) == 2


def test_an_empty_root_has_none(tmp_path):
    assert count_versions(str(tmp_path)) == 0
    assert list(summarise_versions(str(tmp_path))) == []


def test_a_store_says_times_too(fill_root):
    root = "memory://version-list"
    publish_version(root, fill_root(root), config={})
    (found,) = summarise_versions(root)
    assert found.published is not None
