"""What records of every source have in common."""

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.canonical import key_of
from storage.sources import LEFT_OUT_REASONS, LeftOut, resolve_source
from storage.sources.base import (
    UNTAGGED,
    has_image_suffix,
    make_record,
    without_root,
)


@pytest.mark.parametrize(
    ("name", "photo"),
    [("a.jpg", True), ("a.TIF", True), ("a.b.WebP", True), ("jpg", False), ("a.jpg.txt", False)],
)
def test_photos_are_known_by_their_ending(name, photo):
    assert has_image_suffix(name) is photo


def test_a_record_is_plain_and_named_by_its_uri():
    record = make_record(
        "a/1.jpg", caption="a\ud800b", attributes={"x": float("nan"), "y": (1,)}, content_tag="t"
    )
    assert record.key == key_of("a/1.jpg")
    assert record.caption == "a?b"
    assert record.attributes == {"x": None, "y": [1]}
    assert make_record("u", caption=7, attributes={}, content_tag="t").caption is None


def test_faults_do_not_name_the_root(tmp_path):
    root = str(tmp_path)
    error = FileNotFoundError(2, "No such file", f"{root}/a.jpg")
    assert without_root(error, root) == "FileNotFoundError: No such file"
    assert without_root(ValueError(f"bad {root}/a.jpg"), root) == "ValueError: bad a.jpg"
    said = without_root(ValueError("bad bucket/x/a.jpg"), "s3://bucket/x")
    assert said == "ValueError: bad /a.jpg"


def test_a_thing_is_left_out_for_a_reason_that_says_what_would_change_it():
    assert LeftOut(uri="a.xyz", reason="unknown_ending").detail == ""
    assert all(len(sentence) > 20 for sentence in LEFT_OUT_REASONS.values())
    with pytest.raises(ValueError, match=r"must be one of caption_file, .*got 'lost'"):
        LeftOut(uri="a.jpg", reason="lost")


def test_where_a_caption_stood_tells_no_records_apart():
    facts = {"caption": "a", "attributes": {}, "content_tag": "t"}
    record = make_record("a.jpg", **facts, caption_from=".txt")
    assert record.caption_from == ".txt"
    assert record == make_record("a.jpg", **facts)


def _folder(place: Path) -> Path:
    (place / "a.jpg").write_bytes(b"x")
    return place


def _paths(place: Path) -> Path:
    _folder(place)
    (place / "t.csv").write_text("image_path,caption\na.jpg,a man\n")
    return place / "t.csv"


def _bytes(place: Path) -> Path:
    pq.write_table(pa.table({"image": [b"x"], "text": ["a man"]}), place / "t.parquet")
    return place


def _tar(place: Path) -> Path:
    with tarfile.open(place / "0.tar", "w") as tar:
        tar.add(_folder(place) / "a.jpg", "a.jpg")
    return place / "0.tar"


def _coco(place: Path) -> Path:
    (_folder(place) / "photos").mkdir()
    (place / "a.jpg").rename(place / "photos" / "a.jpg")
    images, captions = [{"id": 1, "file_name": "a.jpg"}], [{"image_id": 1, "caption": "a man"}]
    file = place / "captions.json"
    file.write_text(json.dumps({"images": images, "annotations": captions}))
    return file


@pytest.mark.parametrize("make", [_folder, _paths, _bytes, _tar, _coco])
def test_a_look_lists_the_same_records_and_tags_none(make: Callable[[Path], Path], tmp_path: Path):
    source = resolve_source(str(make(tmp_path)))
    (record,) = source.records()
    (looked,) = source.records(tags=False)
    assert looked == replace(record, content_tag=UNTAGGED)
    assert record.content_tag.startswith("sha256:")
