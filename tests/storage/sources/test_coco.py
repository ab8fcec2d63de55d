"""COCO sources: where photos are found, one record per image, the first caption."""

import json
from pathlib import Path

import pytest

from storage.errors import SourceError
from storage.sources import ReadFailure, open_source, resolve_source


def _captions(path: Path, names: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    texts = [{"id": 2 * i + k, "image_id": i, "caption": f"{n} {k}"} for i, n in enumerate(names)
             for k in range(2)]  # fmt: skip
    path.write_text(json.dumps({"images": images, "annotations": texts}))


@pytest.mark.parametrize(
    ("captions", "photos"),
    [
        ("captions.json", "photos"),
        ("captions.json", "images"),
        ("captions_val2017.json", "val2017"),
        ("annotations/captions_val2017.json", "val2017"),
    ],
)
def test_layouts(tmp_path, jpeg, captions, photos):
    _captions(tmp_path / captions, ["b.jpg", "a.jpg", "gone.jpg"])
    (tmp_path / photos).mkdir()
    for seed, name in enumerate(("a.jpg", "b.jpg")):
        (tmp_path / photos / name).write_bytes(jpeg(seed))
    for uri in (tmp_path, tmp_path / captions):
        source = resolve_source(str(uri))
        records = list(source.records())
        assert source.format == "coco"
        expected = [f"{photos}/{n}" for n in ("a.jpg", "b.jpg", "gone.jpg")]
        assert [record.uri for record in records] == expected
        assert records[0].caption == "a.jpg 0"
        assert records[0].attributes["other_captions"] == ["a.jpg 1"]
        data = [data for _, data in source.read(records)]
        assert data[:2] == [jpeg(0), jpeg(1)]
        assert isinstance(data[2], ReadFailure)


def test_images_option(tmp_path, jpeg):
    _captions(tmp_path / "x/captions.json", ["a.jpg"])
    with pytest.raises(SourceError, match="--images"):
        list(open_source(str(tmp_path / "x")))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.jpg").write_bytes(jpeg())
    source = resolve_source(str(tmp_path / "x"), images=str(tmp_path / "elsewhere"))
    records = list(source.records())
    assert [(r.uri, data) for r, data in source.read(records)] == [("a.jpg", jpeg())]


@pytest.mark.parametrize("above", ["", "HumanArt/"], ids=["from_the_root", "from_above"])
def test_human_art_has_descriptions(tmp_path, jpeg, above):
    root = tmp_path / "HumanArt"
    (root / "annotations").mkdir(parents=True)
    (root / "images/cartoon").mkdir(parents=True)
    (root / "images/cartoon/1.jpg").write_bytes(jpeg())
    folder = f"{above}images/cartoon"
    data = {
        "images": [
            {"id": 1, "file_name": f"{folder}/1.jpg", "description": "a knight", "category": "x"},
            {"id": 2, "file_name": f"{folder}/2.jpg", "description": None},
        ],
        "annotations": [{"id": 5, "image_id": 1, "keypoints": [0.0] * 51}],
    }
    file = root / "annotations/training_humanart.json"
    file.write_text(json.dumps(data))
    source = resolve_source(str(file))
    records = list(source.records())
    assert [(r.uri, r.caption) for r in records] == [
        ("images/cartoon/1.jpg", "a knight"),
        ("images/cartoon/2.jpg", None),
    ]
    first, second = (data for _, data in source.read(records))
    assert first == jpeg()
    assert isinstance(second, ReadFailure)


def test_an_image_listed_twice_is_one_record(tmp_path, jpeg):
    _captions(tmp_path / "captions.json", ["a.jpg", "a.jpg"])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(jpeg())
    (record,) = open_source(str(tmp_path))
    assert len(record.attributes["other_captions"]) == 3


def test_paths_cannot_leave_the_root(tmp_path, jpeg):
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    root = tmp_path / "root"
    _captions(root / "captions.json", ["../../secret.jpg", str(tmp_path / "secret.jpg")])
    (root / "photos").mkdir()
    source = resolve_source(str(root))
    records = list(source.records())
    assert len(records) == 2
    assert all(isinstance(data, ReadFailure) for _, data in source.read(records))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"images": []}',
        '{"images": [1], "annotations": []}',
        '{"images": [{"id": 1, "file_name": "a", "description": 3}], "annotations": []}',
        '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"keypoints": []}]}',
        '{"images": [{"id": 1, "file_name": "a", "description": "x"}], "annotations": [{}]}',
    ],
)
def test_a_broken_json_is_named(tmp_path, text):
    (tmp_path / "captions.json").write_text(text)
    (tmp_path / "photos").mkdir()
    with pytest.raises(SourceError, match=r"captions\.json.*COCO"):
        list(open_source(str(tmp_path)))


@pytest.mark.assets
def test_the_real_photos_are_exactly_154_records(assets):
    source = resolve_source(str(assets))
    records = list(source.records())
    assert len(records) == len({record.key for record in records}) == 154
    assert all(record.caption for record in records)
    assert all(data[:2] == b"\xff\xd8" for _, data in source.read(records))
