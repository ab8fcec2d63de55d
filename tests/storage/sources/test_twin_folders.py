"""Captions in folders of their own, beside the folders of photos."""

import json
from pathlib import Path

import fsspec
import pytest

from storage.sources import resolve_source
from storage.sources.base import CAPTION_FILE, LeftOut


def _tree(root: Path, jpeg: bytes, files: dict[str, str | None]) -> None:
    """Files by path: None is a photo, else the text."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(jpeg if text is None else text.encode())


def _read(root: Path) -> tuple[dict[str, tuple[str | None, str]], dict[str, str]]:
    left: list[LeftOut] = []
    source = resolve_source(str(root))
    assert source.format == "folder"
    records = list(source.records(left_out=left.append))
    assert len({thing.uri for thing in left}) == len(left)
    captions = {record.uri: (record.caption, record.caption_from) for record in records}
    return captions, {thing.uri: thing.reason for thing in left if thing.reason != "hidden"}


@pytest.mark.parametrize(
    ("photo", "file"),
    [
        *(("images/a.jpg", f"{folder}/a.txt") for folder in (
            "captions", "caption", "labels", "texts", "text", "txt", "prompts", "annotations",
            "Captions", "tags")),
        ("images/a.jpg", "captions/a.jpg.txt"),
        ("images/a.JPG", "captions/A.txt"),
        ("img/a.png", "txt/a.caption"),
        ("a.jpg", "captions/a.txt"),
        ("flickr30k-images/a.jpg", "captions/a.txt"),
        ("train/images/a.jpg", "train/captions/a.txt"),
        ("images/train/a.jpg", "captions/train/a.txt"),
        ("train/a.jpg", "captions/train/a.txt"),
        ("train/images/a.jpg", "captions/train/a.txt"),
        ("images/x/y/a.jpg", "text/x/y/a.txt"),
        ("train_images/a.jpg", "train_captions/a.txt"),
        ("train/a.jpg", "train_captions/a.txt"),
        ("CelebA-HQ-img/a.jpg", "celeba-caption/a.txt"),
    ],
)  # fmt: skip
def test_a_photo_has_the_caption_of_the_folder_beside(tmp_path, jpeg, photo, file):
    _tree(tmp_path, jpeg(), {photo: None, file: "a man runs"})
    captions, left = _read(tmp_path)
    folder, _, name = file.rpartition("/")
    assert captions == {photo: ("a man runs", f"{folder}/*{name[1:]}")}
    assert left == {file: CAPTION_FILE}


def test_folders_and_lists_of_an_object_store(tmp_path, jpeg):
    fs = fsspec.filesystem("memory")
    root = f"/twins-{tmp_path.name}"
    files = {"a/images/x.jpg": jpeg(), "a/captions/x.txt": b"a man", "b/part-1/y.png": jpeg(1),
             "b/part-1/part-1.json": b'{"y.png": {"p": "a dog"}}', "c/images/z.jpg": jpeg(2),
             "c/set.csv": b"image_id,caption\nimages/z,a cat\n", "d/images/w.jpg": jpeg(3),
             "d/results.token": b"w.jpg#0\ta bird\n"}  # fmt: skip
    for name, data in files.items():
        fs.pipe_file(f"{root}/{name}", data)
    for place, caption in zip("abcd", ("a man", "a dog", "a cat", "a bird"), strict=True):
        source = resolve_source(f"memory:/{root}/{place}")
        ((record, data),) = source.read(list(source.records()))
        assert (record.caption, isinstance(data, bytes)) == (caption, True)


def test_json_gives_its_caption_and_its_fields(tmp_path, jpeg):
    text = json.dumps({"caption": "a man", "score": 1})
    _tree(tmp_path, jpeg(), {"images/a.jpg": None, "captions/a.json": text})
    (record,) = resolve_source(str(tmp_path)).records()
    assert (record.caption, record.attributes) == ("a man", {"score": 1})
    assert record.caption_from == "captions/*.json: caption"


@pytest.mark.parametrize("folder", ["captions", "annotations", "json", "images"])
def test_a_few_files_of_json_that_name_their_photos(tmp_path, jpeg, folder):
    files: dict[str, str | None] = {"images/a.jpg": None, "images/b.jpg": None}
    for name in "ab":
        row = {"image": f"{name}.jpg", "caption": f"a man {name}", "width": 8}
        files[f"{folder}/{name}.json"] = json.dumps(row)
    _tree(tmp_path / "s", jpeg(), files)
    records = list(resolve_source(str(tmp_path / "s")).records())
    assert [r.uri for r in records] == ["images/a.jpg", "images/b.jpg"]
    assert [r.caption for r in records] == ["a man a", "a man b"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "0 0.5 0.5 0.2 0.1\n1 0.1 0.1 0.3 0.3\n"),  # YOLO's boxes
        ("a.txt", "Pedestrian 0.00 0 -0.20 712.40 143.00 810.73 307.92 1.89 0.48"),  # KITTI's
        ("a.txt", "  \n"),
        ("a.json", '{"shapes": [], "imagePath": "a.jpg"}'),  # labelme's
        ("a.json", '{"caption": '),
    ],
)
def test_what_is_no_caption_is_left_out_and_changes_nothing(tmp_path, jpeg, name, text):
    _tree(tmp_path, jpeg(), {"images/a.jpg": None, f"labels/{name}": text})
    (record,) = resolve_source(str(tmp_path)).records()
    assert (record.caption, record.attributes) == (None, {})
    assert _read(tmp_path)[1] == {f"labels/{name}": "no_words"}


def test_captions_of_the_photos_own_come_first_and_stay_as_they_were(tmp_path, jpeg):
    rows = '{"file_name": "b.jpg", "text": "of the table"}'
    own = {"images/a.jpg": None, "images/a.txt": "its own", "images/b.jpg": None,
           "images/c.jpg": None, "images/metadata.jsonl": rows}  # fmt: skip
    _tree(tmp_path, jpeg(), own)
    before = {r.uri: (r.caption, r.attributes) for r in resolve_source(str(tmp_path)).records()}
    _tree(tmp_path, jpeg(), {f"captions/{x}.json": '{"caption": "beside", "n": 1}' for x in "abc"})
    after = {r.uri: (r.caption, r.attributes) for r in resolve_source(str(tmp_path)).records()}
    c = "images/c.jpg"
    assert before.pop(c) == (None, {})
    assert after.pop(c) == ("beside", {"n": 1})
    assert after == before
    left = _read(tmp_path)[1]
    assert [left[f"captions/{x}.json"] for x in "abc"] == ["no_photo", "no_photo", CAPTION_FILE]


def test_masks_and_photos_of_other_splits_have_no_captions_of_the_same_name(tmp_path, jpeg):
    files = {"images/1.jpg": None, "masks/1.png": None, "depth_maps/1.jpg": None,
             "captions/1.txt": "a man"}  # fmt: skip
    _tree(tmp_path / "a", jpeg(), files)
    captions = {uri: text for uri, (text, _) in _read(tmp_path / "a")[0].items()}
    assert captions == {"images/1.jpg": "a man", "masks/1.png": None, "depth_maps/1.jpg": None}
    files = {"train/1.jpg": None, "val/1.jpg": None, "captions/1.txt": "a man",
             "train_captions/2.txt": "a dog", "val/2.jpg": None}  # fmt: skip
    _tree(tmp_path / "b", jpeg(), files)
    captions, left = _read(tmp_path / "b")
    assert {text for text, _ in captions.values()} == {None}
    assert left == {"captions/1.txt": "no_photo", "train_captions/2.txt": "no_photo"}
