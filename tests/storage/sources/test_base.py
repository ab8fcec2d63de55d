"""What records of every source have in common."""

import pytest

from storage.canonical import key_of
from storage.sources.base import has_image_suffix, make_record, split_caption, without_root


@pytest.mark.parametrize(
    ("name", "photo"),
    [("a.jpg", True), ("a.TIF", True), ("a.b.WebP", True), ("jpg", False), ("a.jpg.txt", False)],
)
def test_photos_are_known_by_their_ending(name, photo):
    assert has_image_suffix(name) is photo


@pytest.mark.parametrize(
    ("fields", "caption", "rest"),
    [
        ({"caption": "a", "text": "b", "id": 1}, "a", {"id": 1}),
        ({"text": "b", "caption": None}, "b", {}),
        ({"caption": [3, "x", "y"]}, "x", {"other_captions": ["y"]}),
        ({"caption": [], "text": ["only"]}, "only", {}),
        ({"caption": 5, "id": 1}, None, {"id": 1}),
        ({"caption": ""}, "", {}),
    ],
)
def test_the_first_text_is_the_caption(fields, caption, rest):
    assert split_caption(fields) == (caption, rest)


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
