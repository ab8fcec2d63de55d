"""Photos that rows name: where their paths start, links, photos named twice."""

import json
import os
from pathlib import Path

import fsspec
import pytest

from storage.sources import ReadFailure, resolve_source
from storage.sources.table_photos import RowPhotos, SeenPhotos


def _put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "img/a.jpg",
        "./img/a.jpg",
        "img//a.jpg",
        "./img/.//a.jpg",
        "img\\a.jpg",
        "IMG/A.JPG",
        " img/a.jpg ",
        "ds/img/a.jpg",  # as from the folder above
        "/home/bob/sets/ds/img/a.jpg",  # of another machine
        "C:\\Users\\bob\\ds\\img\\a.jpg",
        "a.jpg",
        "{root}/img/a.jpg",
        "file://{root}/img/a.jpg",
    ],
)
def test_paths_start_where_people_let_them_start(tmp_path, name):
    _put(tmp_path / "ds/img/a.jpg", b"x")
    photos = RowPhotos(str(tmp_path / "ds"))
    assert photos.path(name.format(root=tmp_path / "ds")) == "img/a.jpg"
    assert photos.read(name.format(root=tmp_path / "ds")) == b"x"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../out.jpg", "a\0b.jpg", "gone.jpg", "img", "x" * 9999]
)
def test_what_is_not_below_the_root_is_not_read(tmp_path, name):
    _put(tmp_path / "ds/img/a.jpg", b"x")
    _put(tmp_path / "out.jpg", b"x")
    assert isinstance(RowPhotos(str(tmp_path / "ds")).read(name), ReadFailure)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "struct"])
@pytest.mark.parametrize("place", ["disk", "store"])
def test_a20_paths_in_tables_of_subfolders_start_there_or_at_the_source(
    tmp_path, jpeg, kind, place
):
    root = str(tmp_path) if place == "disk" else f"memory://rp-{tmp_path.name}"
    starts = {"train": "a.jpg", "val": "val/a.jpg"}
    for n, (folder, name) in enumerate(starts.items()):
        row = {"image": {"path": name} if kind == "struct" else name, "caption": "a man"}
        text = f"image,caption\n{name},a man\n" if kind == "csv" else json.dumps(row)
        suffix = "csv" if kind == "csv" else "jsonl"
        for path, data in ((f"{folder}/a.jpg", jpeg(n)), (f"{folder}/t.{suffix}", text.encode())):
            with fsspec.open(f"{root}/{path}", "wb", auto_mkdir=True) as file:
                file.write(data)
    source = resolve_source(root, format="table")
    records = list(source.records())
    assert [record.uri for record in records] == ["train/a.jpg", "val/a.jpg"]
    assert [data for _, data in source.read(records)] == [jpeg(0), jpeg(1)]


def test_a22_links_out_of_the_source_are_read_where_that_is_asked_for(tmp_path, jpeg):
    _put(tmp_path / "blobs/0123", jpeg())
    _put(tmp_path / "s/t.csv", "image,caption\na.jpg,a man\n")
    os.symlink("../blobs/0123", tmp_path / "s/a.jpg")
    source = resolve_source(str(tmp_path / "s/t.csv"))
    ((_, failure),) = source.read(list(source.records()))
    assert isinstance(failure, ReadFailure)
    assert "--follow-links" in failure.detail
    source = resolve_source(str(tmp_path / "s/t.csv"), follow_links=True)
    ((_, data),) = source.read(list(source.records()))
    assert data == jpeg()


def test_a22_folders_that_are_links_hold_tables_where_that_is_asked_for(tmp_path, jpeg):
    _put(tmp_path / "far/t.csv", "image,caption\na.jpg,a man\n")
    _put(tmp_path / "far/a.jpg", jpeg())
    (tmp_path / "s").mkdir()
    (tmp_path / "s/data").symlink_to(tmp_path / "far")
    (tmp_path / "far/again").symlink_to(tmp_path / "s")
    source = resolve_source(str(tmp_path / "s"), format="table", follow_links=True)
    assert [record.uri for record in source.records()] == ["data/a.jpg"]


def test_seen_photos_tell_apart():
    seen = SeenPhotos()
    assert [seen.mark("a.jpg") for _ in range(2)] == ["a.jpg", "a.jpg?occurrence=2"]
    assert seen.other_table("t1", "a.jpg", "a man ") is None
    assert seen.other_table("t1", "a.jpg", "a man") is None
    assert seen.other_table("t2", "a.jpg", "a man") == "t1"
    assert seen.other_table("t2", "a.jpg", None) is None
    seen.close()
