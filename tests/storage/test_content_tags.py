"""Content tags: remembered where safe, forgotten where not, never in the way."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from storage.content_tags import TagCache, cache_folder, file_stamp, hash_tag


def test_a_settled_file_is_remembered_until_it_changes(tmp_path):
    photo, database = tmp_path / "a.jpg", tmp_path / "c/tags.sqlite"
    photo.write_bytes(b"one")
    status = os.stat(photo)
    with closing(TagCache(database, settle_s=0.0)) as cache:
        cache.remember(str(photo), status, hash_tag(b"one"))
    with closing(TagCache(database)) as cache:
        assert cache.lookup(str(photo), file_stamp(status)) == hash_tag(b"one")
        photo.write_bytes(b"two")
        os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert cache.lookup(str(photo), file_stamp(os.stat(photo))) is None


def test_a_file_that_just_changed_is_not_remembered(tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"one")
    status = os.stat(photo)
    with closing(TagCache(tmp_path / "tags.sqlite", settle_s=60.0)) as cache:
        cache.remember(str(photo), status, "tag")
        assert cache.lookup(str(photo), file_stamp(status)) is None


def test_an_unusable_cache_is_no_cache(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "tags.sqlite").write_bytes(b"this is not a database, " * 100)
    status = os.stat(tmp_path)
    for place in (tmp_path / "file/tags.sqlite", tmp_path / "tags.sqlite"):
        with closing(TagCache(place, settle_s=0.0)) as cache:
            cache.remember("x", status, "tag")
            assert cache.lookup("x", file_stamp(status)) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HCP_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/hcp"),
        ({"HCP_CACHE": "", "XDG_CACHE_HOME": ""}, "/home/me/.cache/hcp"),
        ({"HCP_CACHE": "~/mine"}, "/home/me/mine"),
    ],
)
def test_a_cache_lies_where_the_user_says(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HCP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
    assert cache_folder("weights") == Path(expected) / "weights"
