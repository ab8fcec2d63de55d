"""Where the photos lie that an annotation file names."""

import json

import fsspec
import pytest

from storage.sources.photo_places import PhotoPlaces, root_above


def _put(root, *names: str):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("coco/val/1.jpg", ("", "set")),
        ("set/images/1.jpg", None),
        ("images/1.jpg", None),
        ("gone/1.jpg", None),
        ("../coco/1.jpg", None),
        ("https://coco/1.jpg", None),
    ],
)
def test_the_folder_above_is_the_root_where_names_start_there(tmp_path, name, expected):
    """A10: and only then."""
    _put(tmp_path, "coco/val/1.jpg", "images/other.jpg", "set/images/1.jpg")
    file = tmp_path / "set/t.json"
    file.write_text(json.dumps({"images": [{"file_name": name, "caption": "a w/o b"}]}))
    found = root_above(str(tmp_path / "set"), (str(file),))
    above = (str(tmp_path), "set")
    assert found == (above if expected else (str(tmp_path / "set"), ""))


def test_what_is_nowhere_stands_where_all_do(tmp_path):
    _put(tmp_path, "images/a.jpg", "b.jpg", "val/c.jpg")
    file = str(tmp_path / "captions_val.json")
    places = PhotoPlaces(str(tmp_path), captions_uri=file, first="a.jpg")
    found = [places.find(name) for name in ("a.jpg", "b.jpg", "c.jpg", "gone.jpg", "../x.jpg")]
    assert found == ["images/a.jpg", "b.jpg", "val/c.jpg", "val/gone.jpg", "val/../x.jpg"]
    assert PhotoPlaces(str(tmp_path), first=None).find("gone.jpg") == "gone.jpg"


def test_object_stores(tmp_path):
    root = f"memory://places-{tmp_path.name}"
    for name in ("images/1.jpg", "other/2.jpg"):
        fsspec.filesystem("memory").pipe_file(f"{root}/{name}", b"x")
    places = PhotoPlaces(root, first="1.jpg")
    names = ("1.jpg", "other\\2.jpg", "gone.jpg")
    assert [places.find(name) for name in names] == [
        "images/1.jpg", "other/2.jpg", "images/gone.jpg",
    ]  # fmt: skip
