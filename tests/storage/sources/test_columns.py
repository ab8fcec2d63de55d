"""Columns of photos, and what their cells hold (cases A17, A18)."""

import base64
import json

import pytest

from storage.sources.base import IMAGE_SUFFIXES, ReadFailure
from storage.sources.columns import (
    describe_row,
    has_caption_column,
    has_photo_column,
    photo_columns,
    photo_of,
    pick_photo,
)

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(200))
TEXT = base64.b64encode(JPEG).decode()


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_a17_columns_named_after_any_format_hold_photos(suffix):
    assert photo_columns(["key", suffix[1:], "caption"]) == (suffix[1:],)


@pytest.mark.parametrize("name", ["Image", "IMAGE_PATH", "image path", "File-Name", "ImagePath"])
def test_names_of_columns_are_matched_as_captions_are(name):
    assert photo_columns(["caption", name]) == (name,)


def test_the_best_named_column_is_the_first():
    assert photo_columns(["file_name", "path", "image", "mask"]) == ("image", "path", "file_name")


@pytest.mark.parametrize(
    "cell",
    [
        JPEG,
        bytearray(JPEG),
        {"bytes": JPEG, "path": "a.jpg"},
        {"bytes": TEXT, "path": None},
        {"Bytes": list(JPEG)},
        [JPEG],
        [{"bytes": JPEG, "path": None}],
        TEXT,
        TEXT.replace("+", "-").replace("/", "_") if not TEXT.startswith("/9j/") else TEXT,
        "data:image/jpeg;base64," + TEXT,
        json.dumps({"bytes": TEXT, "path": "a.jpg"}),
        str({"bytes": JPEG, "path": "a.jpg"}),  # as pandas writes a struct into a csv file
        str(JPEG),
    ],
)
def test_a18_bytes_in_every_shape(cell):
    assert photo_of(cell) == JPEG


@pytest.mark.parametrize(
    "cell",
    [
        "a.jpg",
        {"bytes": None, "path": "a.jpg"},
        {"path": "a.jpg"},
        {"bytes": b"", "path": "a.jpg"},
        ["a.jpg"],
        '{"bytes": null, "path": "a.jpg"}',
        "{'bytes': None, 'path': 'a.jpg'}",
    ],
)
def test_a18_paths_in_every_shape(cell):
    assert photo_of(cell) == "a.jpg"


@pytest.mark.parametrize("name", ["{a}.jpg", "[1].jpg", "b'x'.jpg", "data/a.jpg", "/9j/a.jpg"])
def test_strange_names_are_names(name):
    assert photo_of(name) == name


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (None, "empty"), ("", "empty"), ("  ", "empty"), (b"", "empty"), (float("nan"), "empty"),
        ([], "empty"), ({}, "empty"), ({"bytes": None, "path": None}, "empty"),
        (7, "got int"), (["a.jpg", "b.jpg"], "2 photos in one cell"),
        ("https://x.org/a.jpg", "img2dataset"), ({"url": "http://x.org/a.jpg"}, "img2dataset"),
        ({"bytes": "no base64!"}, "base64"), ({"bytes": [1, 999]}, "0 to 255"),
        ("data:image/png;base64,!!!", "base64"),
    ],
)  # fmt: skip
def test_cells_without_a_photo_say_why(cell, said):
    found = photo_of(cell)
    assert isinstance(found, ReadFailure)
    assert said in found.detail


def test_the_first_usable_cell_counts():
    assert pick_photo({"image": None, "path": "a.jpg"}) == ("path", "a.jpg")
    assert pick_photo({"image": 17, "file_name": "a.jpg"}) == ("file_name", "a.jpg")
    assert pick_photo({"image": "http://x.org/a.jpg", "local_path": "a.jpg"})[1] == "a.jpg"
    assert pick_photo({"image": None, "path": ""})[0] == "image"
    assert pick_photo({"caption": "x"})[0] is None


def test_a_struct_of_any_name_is_a_photo():
    assert has_photo_column({"foto": {"bytes": JPEG, "path": None}, "text": "x"})
    assert pick_photo({"foto": {"bytes": JPEG}, "text": "x"}) == ("foto", JPEG)
    assert not has_photo_column({"left": {"bytes": JPEG}, "right": {"bytes": JPEG}})


def test_cells_with_bytes_are_no_attributes():
    row = {
        "image": JPEG, "caption": "a man", "mask": {"bytes": b"x"}, "thumb": "x" * 5, "n": 3,
        "depth": TEXT, "views": [{"bytes": b"x"}], "raw": JPEG,
    }  # fmt: skip
    assert describe_row(row, "image") == ("a man", {"thumb": "xxxxx", "n": 3}, "caption")


@pytest.mark.parametrize(
    ("row", "caption", "column"),
    [
        ({"caption": None, "text": "a man"}, "a man", "text"),
        ({"caption": "", "Prompt": "a man"}, "a man", "Prompt"),
        ({"captions": ["a man", "a runner"]}, "a man", "captions"),
        ({"caption": None}, None, ""),
        ({"n": 1}, None, ""),
    ],
)
def test_the_first_caption_with_a_text_counts(row, caption, column):
    assert describe_row(row, None)[0] == caption
    assert describe_row(row, None)[2] == column


@pytest.mark.parametrize(
    "row",
    [
        {"jpg": "a.jpg", "txt": "a man", "json": {"width": 3}},
        {"jpg": "a.jpg", "json": {"caption": "a man", "width": 3}},
        {"jpg": "a.jpg", "caption": "", "metadata": '{"Prompt": ["a man"]}'},
        {"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>"},
                                             {"from": "gpt", "value": "a man"}]},
        {"image": "a.jpg", "messages": '[{"role": "assistant", "content": "a man"}]'},
        {"image": "a.jpg", "messages": [{"role": "assistant", "content":
                                         [{"type": "text", "text": "a man"}]}]},
        {"image": "a.jpg", "texts": [{"user": "describe", "assistant": "a man", "source": "x"}]},
        {"image": "a.jpg", "human_caption": "a man", "face_caption": "a face"},
        {"image": "a.jpg", "other_captions": ["a dog"], "qwen2_caption": "a man"},
        {"image_name": "a.jpg", "comment_number": 0, " comment": "a man"},  # Flickr30k
    ],
)  # fmt: skip
def test_captions_of_hubs_structs_and_conversations(row):
    assert has_caption_column(row)
    assert describe_row(row, next(iter(row)))[0] == "a man"


@pytest.mark.parametrize("cell", [{"a": 1}, "{no json", [], [{"from": "human"}], None, 7])
def test_structs_without_a_caption_give_none(cell):
    assert describe_row({"metadata": cell}, None)[0] is None
