"""Tables that name photos by ids, without endings, or in columns of other uses."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import SourceError
from storage.sources import resolve_source


def _put(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def _read(root: Path) -> list[tuple[str, str | None, object]]:
    source = resolve_source(str(root))
    assert source.format == "table"
    records = list(source.records())
    data = [data for _, data in source.read(records)]
    return [(r.uri, r.caption, d) for r, d in zip(records, data, strict=True)]


@pytest.mark.parametrize("column", ["image_id", "id", "key", "image", "filename", "Image ID"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_photo_is_named_without_its_ending(tmp_path, jpeg, column, kind):
    _put(tmp_path / "s/train/0a.jpg", jpeg())
    _put(tmp_path / "s/masks/0a.png", jpeg(1))
    row = {"dataset_id": "x", column: "0a", "caption": "a man", "timed_caption": [{"x": 1}]}
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "s/open_images.parquet")
    elif kind == "csv":
        _put(tmp_path / "s/open_images.csv", f"{column},caption\n0a,a man\n")
    else:  # the localized narratives of Open Images
        _put(tmp_path / "s/open_images.jsonl", json.dumps(row))
    assert _read(tmp_path / "s") == [("train/0a.jpg", "a man", jpeg())]


def test_numbers_are_names_too(tmp_path, jpeg):
    _put(tmp_path / "s/VG_100K/12.jpg", jpeg())
    _put(tmp_path / "s/set.jsonl", json.dumps({"image_id": 12, "caption": "a man"}))
    assert _read(tmp_path / "s") == [("VG_100K/12.jpg", "a man", jpeg())]


def test_the_target_is_the_photo_where_its_condition_lies_beside(tmp_path, jpeg):
    _put(tmp_path / "s/source/0.png", jpeg(1))
    _put(tmp_path / "s/target/0.png", jpeg())
    row = {"source": "source/0.png", "target": "target/0.png", "prompt": "a man"}
    _put(tmp_path / "s/prompt.json", f"{json.dumps(row)}\n{json.dumps(row | {'n': 1})}\n")
    assert _read(tmp_path / "s")[0] == ("target/0.png", "a man", jpeg())


def test_paths_that_begin_in_a_folder_of_photos(tmp_path, jpeg):  # JourneyDB's
    _put(tmp_path / "s/train/imgs/000/a.jpg", jpeg())
    row = {"img_path": "./000/a.jpg", "prompt": "a man --ar 1:1", "Task2": {"Caption": "men"}}
    _put(tmp_path / "s/train/train_anno.jsonl", json.dumps(row))
    assert _read(tmp_path / "s") == [("train/imgs/000/a.jpg", "a man --ar 1:1", jpeg())]


def test_ids_of_no_photos_and_lists_of_places_on_the_web_are_told(tmp_path, jpeg):
    _put(tmp_path / "a/x/1.jpg", jpeg())
    _put(tmp_path / "a/set.csv", "id,caption\n7,a man\n")
    assert resolve_source(str(tmp_path / "a")).format == "folder"
    _put(tmp_path / "b/Train_GCC-training.tsv", "a man, slowly\thttp://x.y/1.jpg\n" * 2)
    _put(tmp_path / "c/cc12m.tsv", "http://x.y/1.jpg\ta man, slowly\n" * 2)
    for place in "bc":
        with pytest.raises(SourceError, match=r"http://x\.y.*on the web, fetch the photos first"):
            list(resolve_source(str(tmp_path / place)).records())
