"""Reading and tagging single photos; listing whole folders is in test_folder."""

import dataclasses
import os
from contextlib import closing

import pytest

from storage.canonical import key_of
from storage.content_tags import TagCache, hash_tag
from storage.records import SourceRecord
from storage.sources import files
from storage.sources.base import ReadFailure
from storage.sources.files import checked, read_photo, read_photos, tag_file


@pytest.fixture
def cache(tmp_path):
    with closing(TagCache(tmp_path / ".cache.sqlite", settle_s=0.0)) as opened:
        yield opened


def _record(uri: str, tag: str) -> SourceRecord:
    return SourceRecord(key=key_of(uri), uri=uri, caption=None, content_tag=tag)


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.jpg", "a/../../secret.jpg"])
def test_a_path_never_leaves_the_root(tmp_path, jpeg, path):
    (tmp_path / "root").mkdir()
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    found = read_photo(str(tmp_path / "root"), path)
    assert isinstance(found, ReadFailure)
    assert "outside" in found.detail
    (tmp_path / "root/link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert isinstance(read_photo(str(tmp_path / "root"), "link.jpg"), ReadFailure)


def test_what_is_no_photo_file_is_a_failure(tmp_path, monkeypatch):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")  # must not block
    (tmp_path / "big.jpg").write_bytes(b"x" * 11)
    monkeypatch.setattr(files, "MAX_IMAGE_BYTES", 10)
    found = [read_photo(str(tmp_path), f"{n}.jpg") for n in ("folder", "pipe", "big", "gone")]
    assert all(isinstance(item, ReadFailure) for item in found)
    assert "11 bytes, more than 10" in found[2].detail
    assert str(tmp_path) not in found[3].detail


def test_a_tag_is_the_contents_or_the_stores_own(tmp_path, jpeg, cache, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    root = str(tmp_path)
    assert tag_file(root, "a.jpg", cache=cache) == hash_tag(jpeg())
    assert tag_file(root, "a.jpg", cache=cache, etag="e1") == "etag:e1"
    assert tag_file(root, "gone.jpg", cache=cache).startswith("unreadable")
    monkeypatch.setattr(files, "read_photo", lambda *_: pytest.fail("the cache knows this file"))
    assert tag_file(root, "a.jpg", cache=cache) == hash_tag(jpeg())


def test_bytes_must_be_those_that_were_listed(jpeg):
    record = _record("a.jpg", hash_tag(jpeg(1)))
    assert checked(record, jpeg(1)) == jpeg(1)
    assert isinstance(checked(record, jpeg(2)), ReadFailure)
    assert checked(dataclasses.replace(record, content_tag="etag:e"), jpeg(2)) == jpeg(2)
    failure = ReadFailure("gone")
    assert checked(record, failure) is failure


def test_many_remote_photos_come_in_order(tmp_path, jpeg):
    import fsspec

    root = f"memory://files-{tmp_path.name}"
    uris = [f"p/{i:03}.jpg" for i in range(50)]
    for i, uri in enumerate(uris[:-1]):
        with fsspec.open(f"{root}/{uri}", "wb") as file:
            file.write(jpeg(i))
    records = [_record(uri, hash_tag(jpeg(i))) for i, uri in enumerate(uris)]
    found = list(read_photos(root, records))
    assert [record for record, _ in found] == records
    assert [data for _, data in found[:-1]] == [jpeg(i) for i in range(49)]
    assert isinstance(found[-1][1], ReadFailure)
