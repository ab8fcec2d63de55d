"""Listing a source's folders: each entry stands alone, and no folder is missing in silence."""

import errno
import os
import shutil

import fsspec
import pytest

from storage.canonical import encode_path
from storage.errors import SourceError
from storage.sources import LeftOut, ReadFailure, SourceFormat, resolve_source
from storage.sources.listing import MAX_DEPTH, Listing


def _fill(root, names, data=b"x"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


def _gone(tmp_path, *, remote: bool):
    """A root of three folders, and a function that removes the second."""
    if not remote:
        _fill(tmp_path / "root", ["a/1.jpg", "b/2.jpg", "c/3.jpg"])
        return str(tmp_path / "root"), lambda: shutil.rmtree(tmp_path / "root/b")
    root = f"memory://{tmp_path.name}"
    fs = fsspec.filesystem("memory")
    for name in ("a/1.jpg", "b/2.jpg", "c/3.jpg"):
        fs.pipe_file(f"{root}/{name}", b"x")
    return root, lambda: fs.rm(f"{root}/b", recursive=True)


def test_a_directory_sorts_with_its_slash(tmp_path):
    _fill(tmp_path, ["b/1.jpg", "b.jpg", "b-1.jpg", ".hidden.jpg"])
    listing = Listing(str(tmp_path))
    names = [(e.name, e.is_directory) for e in listing.entries("")]
    assert names == [("b-1.jpg", False), ("b.jpg", False), ("b", True)]
    assert [e.path for e in listing.entries("b")] == ["b/1.jpg"]


@pytest.mark.parametrize("layout", ["auto", "folder"])
def test_a_link_to_itself_costs_no_other_entry(tmp_path, layout, caplog):
    names = [f"{folder}{i:02}.{suffix}" for folder in ("", "sub/") for i in range(8)
             for suffix in ("jpg", "txt")]  # fmt: skip
    _fill(tmp_path, names, b"a man runs")
    for name in ("04b.jpg", "05b", "sub/00b.jpg", "07.json"):
        (tmp_path / name).symlink_to(tmp_path / name)
    source = resolve_source(str(tmp_path), format=layout)
    records = {record.uri: record for record in source.records()}
    assert len(records) == 16 + 2
    assert sum(record.caption == "a man runs" for record in records.values()) == 16
    assert "07.json" in str(records["07.jpg"].attributes["caption_error"])
    for name in ("04b.jpg", "sub/00b.jpg"):
        ((_, data),) = source.read([records[name]])
        assert isinstance(data, ReadFailure)
    assert "4 names of which the file system cannot tell what they are" in caplog.text


@pytest.mark.parametrize("layout", ["webdataset", "table", "coco"])
def test_other_formats_stand_a_link_to_itself_too(tmp_path, layout: SourceFormat):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SourceError, match=r"no (tars|tables|COCO captions) in"):
        resolve_source(str(tmp_path), format=layout)


def test_links_that_are_not_followed_are_counted_once(tmp_path, caplog):
    _fill(tmp_path, ["root/a/1.jpg", "out/2.jpg"])
    for name in ("x.jpg", "y.jpg", "a/z"):
        (tmp_path / "root" / name).symlink_to(tmp_path / "out")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    assert len(list(resolve_source(str(tmp_path / "root")).records())) == 1
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "3 links out of it (such as " in warning
    assert "1 links to a folder above them (such as 'a/up')" in warning


@pytest.mark.parametrize("remote", [False, True])
def test_a_folder_that_cannot_be_listed_is_an_error_of_the_run(tmp_path, remote):
    root, remove = _gone(tmp_path, remote=remote)
    source = resolve_source(root)
    listed = source.records()
    assert next(listed).uri == "a/1.jpg"
    remove()
    with pytest.raises(SourceError, match=r"/b: .*cannot be listed.*--skip-unlisted"):
        list(listed)


@pytest.mark.parametrize("remote", [False, True])
def test_such_a_folder_is_left_out_and_named_where_that_is_asked_for(tmp_path, remote, caplog):
    root, remove = _gone(tmp_path, remote=remote)
    source = resolve_source(root, skip_unlisted=True)
    listed = source.records()
    next(listed)
    remove()
    assert [record.uri for record in listed] == ["c/3.jpg"]
    assert source.unlisted == ("b",)
    assert "1 folders that cannot be listed (such as 'b')" in caplog.text
    assert [record.uri for record in source.records()] == ["a/1.jpg", "c/3.jpg"]
    assert source.unlisted == ()


def test_a_forbidden_folder_is_named(tmp_path):
    _fill(tmp_path, ["a.jpg", "ünter/2.jpg"])
    (tmp_path / "ünter").chmod(0)
    if os.access(tmp_path / "ünter", os.R_OK):
        pytest.skip("nothing is forbidden to this user")
    with pytest.raises(SourceError, match=r"ünter: .*Permission denied"):
        list(resolve_source(str(tmp_path)).records())
    source = resolve_source(str(tmp_path), skip_unlisted=True)
    assert [record.uri for record in source.records()] == ["a.jpg"]
    assert source.unlisted == (encode_path("ünter"),)


def test_a_folder_deeper_than_paths_may_be_is_no_crash(tmp_path):
    _fill(tmp_path, ["a.jpg"])
    deep = "/".join("d" * (MAX_DEPTH + 2))
    (tmp_path / deep).mkdir(parents=True)
    source = resolve_source(str(tmp_path), skip_unlisted=True)
    assert [record.uri for record in source.records()] == ["a.jpg"]
    assert source.unlisted == ("/".join("d" * (MAX_DEPTH + 1)),)
    with pytest.raises(SourceError, match=str(MAX_DEPTH)):
        list(resolve_source(str(tmp_path)).records())


def test_the_root_itself_must_be_listed(tmp_path):
    _fill(tmp_path, ["root/a.jpg"])
    source = resolve_source(str(tmp_path / "root"), skip_unlisted=True)
    shutil.rmtree(tmp_path / "root")
    with pytest.raises(SourceError, match=os.strerror(errno.ENOENT)):
        list(source.records())


def test_a_link_to_a_folder_in_a_hidden_folder_is_told(tmp_path):
    _fill(tmp_path, ["a.jpg", ".cache/x.jpg"])
    (tmp_path / ".cache/loop").symlink_to("..")
    left: list[LeftOut] = []
    list(Listing(str(tmp_path), left_out=left.append).files())
    assert {thing.uri for thing in left if thing.reason == "hidden"} >= {
        ".cache/x.jpg",
        ".cache/loop",
    }
