"""Folder sources: which files are records, in which order, with which captions."""

import json
import os
from pathlib import Path

import pytest

from storage.errors import SourceError
from storage.sources import ReadFailure, open_source, resolve_source


def _write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _uris(root: Path) -> list[str]:
    return [record.uri for record in open_source(str(root))]


def test_every_image_suffix_in_any_case_is_a_record_even_garbage(tmp_path, jpeg):
    names = ["a.jpg", "b.JPEG", "c.Png", "d.webp", "e.bmp", "f.tif", "g.GIF"]
    for name in names:
        _write(tmp_path / name, b"not an image at all")
    for other in ("a.txt", "notes.md", ".hidden.jpg", ".git/x.jpg", "h.heic", "noext"):
        _write(tmp_path / other, b"x")
    assert _uris(tmp_path) == names
    source = resolve_source(str(tmp_path))
    read = list(source.read(list(source.records())))
    assert [data for _, data in read] == [b"not an image at all"] * len(names)


def test_path_order_is_that_of_the_whole_path(tmp_path, jpeg):
    for name in ("b/1.jpg", "b.jpg", "a/z.jpg", "a-b.jpg", "B.jpg"):
        _write(tmp_path / name, jpeg())
    uris = _uris(tmp_path)
    assert uris == sorted(uris) == ["B.jpg", "a-b.jpg", "a/z.jpg", "b.jpg", "b/1.jpg"]


def test_odd_names_survive_the_round_trip(tmp_path, jpeg):
    names = ["ü #1?.jpg", "100%.jpg", "a b.png", "新.jpg", os.fsdecode(b"latin\xe9.jpg")]
    for index, name in enumerate(names):
        _write(tmp_path / name, jpeg(index))
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    assert all(record.uri.isascii() and " " not in record.uri for record in records)
    assert "latin%E9.jpg" in {record.uri for record in records}
    assert {data for _, data in source.read(records)} == {jpeg(i) for i in range(len(names))}
    assert len({record.key for record in records}) == len(names)


def test_sidecars_are_shared_by_one_stem_and_txt_wins(tmp_path, jpeg):
    for name in ("a.jpg", "a.png", "b.jpg", "c.jpg"):
        _write(tmp_path / name, jpeg())
    _write(tmp_path / "a.txt", "\ufeffa man runs\n")
    _write(tmp_path / "a.json", json.dumps({"caption": "from json", "licence": 4}))
    _write(tmp_path / "b.json", json.dumps({"text": ["first", "second"], "x": float("nan")}))
    found = {record.uri: record for record in open_source(str(tmp_path))}
    assert found["a.jpg"].caption == found["a.png"].caption == "a man runs"
    assert found["a.jpg"].attributes == {"licence": 4}
    assert found["b.jpg"].caption == "first"
    assert found["b.jpg"].attributes == {"other_captions": ["second"], "x": None}
    assert found["c.jpg"].caption is None


@pytest.mark.parametrize("content", [b"{broken", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_broken_sidecar_costs_the_caption_not_the_listing(tmp_path, jpeg, content):
    _write(tmp_path / "a.jpg", jpeg())
    _write(tmp_path / "a.json", content)
    _write(tmp_path / "b.jpg", jpeg())
    first, second = open_source(str(tmp_path))
    assert first.caption is None
    assert "a.json" in str(first.attributes["caption_error"])
    assert second.attributes == {}


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata_file_gives_captions(tmp_path, jpeg, kind):
    for name in ("train/a.jpg", "b.jpg"):
        _write(tmp_path / name, jpeg())
    rows = [{"file_name": "train/a.jpg", "text": "a, b"}, {"file_name": "gone.jpg", "text": "x"}]
    if kind == "jsonl":
        _write(tmp_path / "metadata.jsonl", "\n".join(map(json.dumps, rows)) + "\nbroken{\n")
    elif kind == "csv":
        _write(tmp_path / "metadata.csv", 'file_name,text\ntrain/a.jpg,"a, b"\ngone.jpg,x\n')
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "metadata.parquet")
    assert {record.uri: record.caption for record in open_source(str(tmp_path))} == {
        "b.jpg": None,
        "train/a.jpg": "a, b",
    }


def test_metadata_without_file_name_is_an_error_that_names_it(tmp_path, jpeg):
    _write(tmp_path / "a.jpg", jpeg())
    _write(tmp_path / "metadata.csv", "path,text\na.jpg,x\n")
    with pytest.raises(SourceError, match=r"metadata\.csv.*file_name"):
        list(open_source(str(tmp_path)))


def test_links_are_followed_only_inside_the_root(tmp_path, jpeg):
    root = tmp_path / "root"
    _write(root / "a/1.jpg", jpeg(1))
    _write(tmp_path / "outside/2.jpg", jpeg(2))
    (root / "in.jpg").symlink_to(root / "a/1.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "outside/2.jpg")
    (root / "out").symlink_to(tmp_path / "outside")
    (root / "a/loop").symlink_to(root)
    (root / "dead.jpg").symlink_to(root / "nothing.jpg")
    os.mkfifo(root / "pipe.jpg")
    source = resolve_source(str(root))
    records = list(source.records())
    assert [record.uri for record in records] == ["a/1.jpg", "dead.jpg", "in.jpg"]
    data = [data for _, data in source.read(records)]
    assert data[0] == data[2] == jpeg(1)
    assert isinstance(data[1], ReadFailure)


def test_reading_never_raises_for_one_record(tmp_path, jpeg):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        _write(tmp_path / name, jpeg())
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    (tmp_path / "a.jpg").unlink()
    _write(tmp_path / "c.jpg", jpeg(9))
    (_, gone), (_, kept), (_, changed) = source.read(records)
    assert isinstance(gone, ReadFailure)
    assert kept == jpeg()
    assert isinstance(changed, ReadFailure)
    assert "changed" in changed.detail


def test_content_tag_follows_the_bytes(tmp_path, jpeg):
    _write(tmp_path / "a.jpg", jpeg(1))
    (before,) = open_source(str(tmp_path))
    (again,) = open_source(str(tmp_path))
    _write(tmp_path / "a.jpg", jpeg(2))
    (after,) = open_source(str(tmp_path))
    assert before == again
    assert (before.key, before.content_tag == after.content_tag) == (after.key, False)


def test_empty_and_missing_folders_say_what_was_expected_and_where(tmp_path):
    with pytest.raises(SourceError, match=r"no photos in .*\.jpg"):
        list(open_source(str(tmp_path)))
    with pytest.raises(SourceError, match=r"not found.*nothing"):
        open_source(str(tmp_path / "nothing"))
