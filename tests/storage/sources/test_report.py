"""A look at a source: every file there is a record, of use, or left out for a reason."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.sources import LeftOut, open_source, resolve_source
from storage.sources.report import Tally, look
from storage.sources.summary import SourceSummary


def put(place: Path, *names: str) -> None:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"x")


def left_out(summary: SourceSummary) -> dict[str, int]:
    return {reason: counted.n for reason, counted in summary.left_out.items()}


def looked(place: Path, images: Path | None = None) -> SourceSummary:
    source = resolve_source(str(place), images=str(images) if images else None)
    return look(source, str(place), str(images) if images else None)


def test_files_that_no_table_names_are_counted(tmp_path: Path) -> None:
    put(tmp_path, "img/a.jpg", "img/b.jpg", "img/deep/c.png", "notes.md", "old/x.tar", "README")
    (tmp_path / "t.csv").write_text("image_path,caption\nimg/a.jpg,a man\nimg/a.jpg,he\n")
    summary = looked(tmp_path)
    assert summary.format == "table"
    assert summary.lists == ("t.csv",)
    assert (summary.n_records, summary.n_used, summary.n_captioned) == (2, 1, 2)
    assert left_out(summary) == {"not_named": 2, "unknown_ending": 2, "other_layout": 1}
    assert summary.left_out["not_named"].examples == ("img/b.jpg", "img/deep/c.png")
    assert summary.n_there == 8


def test_a_table_by_itself_holds_its_rows_alone(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "notes.md")
    pq.write_table(
        pa.table({"image": [b"x", b"y", b"z"], "text": ["a man", None, " "]}),
        tmp_path / "t.parquet",
    )
    summary = looked(tmp_path / "t.parquet")
    assert (summary.n_records, summary.n_captioned, summary.n_used) == (3, 1, 1)
    assert summary.n_there == 4
    assert looked(tmp_path).format == "folder"  # photos lie there: the same place is another source


def test_photos_beside_tars_are_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        for name in ("1.jpg", "1.txt", "2.jpg"):
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"hi"))
    put(tmp_path, "loose/a.jpg", "0_stats.json", "0.parquet")
    summary = looked(tmp_path)
    assert (summary.format, summary.n_records, summary.n_used) == ("webdataset", 2, 1)
    assert left_out(summary) == {"other_layout": 3}
    assert summary.n_there == 3 + 3  # members, and the files that are no tars


@pytest.mark.parametrize("apart", [False, True])
def test_photos_that_no_annotation_names_are_counted(apart: bool, tmp_path: Path) -> None:
    photos = tmp_path / ("elsewhere" if apart else "set/photos")
    put(photos, "a.jpg", "b.jpg", "LICENSE")
    images = [{"id": 1, "file_name": "a.jpg"}]
    captions = {"images": images, "annotations": [{"image_id": 1, "caption": "a man"}]}
    put(tmp_path / "set", "captions.json", "instances.json")
    (tmp_path / "set" / "captions.json").write_text(json.dumps(captions))
    summary = looked(tmp_path / "set", photos if apart else None)
    assert summary.format == "coco"
    assert (summary.n_records, summary.n_used) == (1, 1)
    assert left_out(summary) == {"not_named": 1, "unknown_ending": 1, "other_layout": 1}


def test_links_are_followed_as_the_source_follows_them(tmp_path: Path) -> None:
    put(tmp_path, "cache/0123", "cache/0124", "set/b.md")
    (tmp_path / "set" / "t.csv").write_text("image_path,caption\na.jpg,a man\n")
    for name, target in (("a.jpg", "0123"), ("c.jpg", "0124")):
        (tmp_path / "set" / name).symlink_to(f"../cache/{target}")
    place = str(tmp_path / "set")
    source = resolve_source(place, format="table")
    assert left_out(look(source, place)) == {"link_outside": 1, "unknown_ending": 1}
    source = resolve_source(place, format="table", follow_links=True)
    assert left_out(look(source, place)) == {"not_named": 1, "unknown_ending": 1}


def test_a_source_without_photos_says_what_lies_there(tmp_path: Path) -> None:
    put(tmp_path, "a.raw", "b.psd")
    summary = looked(tmp_path)
    assert "no photos" in summary.error
    assert summary.n_records == 0
    assert summary.examples == ()


def test_examples_are_the_same_ones_each_time_and_from_everywhere(tmp_path: Path) -> None:
    for i in range(40):
        put(tmp_path, f"{i // 10}/{i}.jpg")
    examples = looked(tmp_path).examples
    assert len(examples) == 5
    assert len({record.uri.split("/")[0] for record in examples}) > 1
    tally = Tally(resolve_source(str(tmp_path)))
    assert len(list(tally.records())) == 40
    assert [record.uri for record in tally.summary().examples] == [r.uri for r in examples]


def test_everything_that_is_no_record_is_handed_out(tmp_path: Path) -> None:
    tmp_path = tmp_path / "set"  # the cache of content tags lies beside it
    put(tmp_path, "img/a.jpg", "img/b.jpg")
    (tmp_path / "t.csv").write_text("image_path,caption\nimg/a.jpg,a man\n")
    things: list[LeftOut] = []
    records = list(open_source(str(tmp_path), left_out=things.append))
    assert [record.uri for record in records] == ["img/a.jpg"]
    told = {thing.uri: thing.reason for thing in things}
    assert told == {"t.csv": "caption_file", "img/b.jpg": "not_named"}
