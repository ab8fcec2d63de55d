"""Annotation files: the shapes, and what becomes of broken entries."""

import json

import pytest

from storage.errors import SourceError
from storage.sources.annotation_files import find_annotations, find_captions
from storage.sources.annotations import read_annotations


def _read(path, data):
    path.write_text(json.dumps(data))
    broken: list[int] = []
    found = read_annotations(str(path), on_broken=lambda number, _: broken.append(number))
    return {name: photo.texts for name, photo in found.items()}, broken


@pytest.mark.parametrize(
    ("data", "texts", "broken"),
    [
        ({"a.jpg": "x", "b.jpg": 7, "c.jpg": {}}, {"a.jpg": ["x"], "c.jpg": []}, [1]),
        ([{"image": "a.jpg", "text": ["x", "y"]}, 3, {"text": "z"}], {"a.jpg": ["x", "y"]}, [1, 2]),
        ({"images": [{"id": 1, "file_name": "a.jpg", "caption": "x"}, None],
          "annotations": [{"image_id": "1", "caption": "y"}, {}]}, {"a.jpg": ["y", "x"]}, [3, 1]),
        ({"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}],
          "annotations": [{"image_id": 1, "caption": "x"}]}, {"a.jpg": ["x"], "b.jpg": ["x"]}, []),
    ],
    ids=["mapping", "list", "coco", "one_id_twice"],
)  # fmt: skip
def test_one_broken_entry_costs_itself(tmp_path, data, texts, broken):
    assert _read(tmp_path / "t.json", data) == (texts, broken)


@pytest.mark.parametrize("data", [7, "x", None, [1, 2], {"a": 1}, {"images": [{}]}, [[]]])
def test_what_is_no_list_of_photos_is_named(tmp_path, data):
    with pytest.raises(SourceError, match=r"t\.json: not a COCO captions file.*file_name.*prompt"):
        _read(tmp_path / "t.json", data)


def test_annotation_files_of_other_names_are_known_by_what_is_in_them(tmp_path):
    texts = {"a.jpg": {"prompt": "a man"}}
    info = {"info": {"description": "x"}, "images": [{"file_name": "a.jpg"}], "annotations": []}
    files = {"result.json": texts, "a.json": texts, "instances.json": info, "config.json": {},
             "list.json": [texts], "text.json": {"text": "x"}}  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_text(json.dumps(data))
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert find_annotations(str(tmp_path)) == (str(tmp_path / "result.json"),)
    assert find_captions(str(tmp_path)) == ()
    (tmp_path / "Captions_train.JSON").write_text("{}")
    assert find_captions(str(tmp_path)) == (str(tmp_path / "Captions_train.JSON"),)
