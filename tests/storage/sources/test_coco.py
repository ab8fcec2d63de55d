"""COCO sources: where photos are found, one record per image, the first caption."""

import json
from pathlib import Path

import pytest

from storage.canonical import decode_path
from storage.errors import SourceError
from storage.sources import LeftOut, ReadFailure, open_source, resolve_source
from storage.sources.report import look


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


def _photos(root: Path, jpeg, *names: str) -> None:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(seed))


def _json(path: Path, data: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    return path


def _found(file: Path, **options) -> dict[str, str | None]:
    """URI -> caption; every photo must be read."""
    source = resolve_source(str(file), **options)
    records = list(source.records())
    assert all(isinstance(data, bytes) for _, data in source.read(records))
    return {decode_path(record.uri): record.caption for record in records}


@pytest.mark.parametrize("annotations", ["HumanArt/annotations/t.json", "HumanArt/t.json"])
def test_merged_files_name_photos_of_several_datasets(tmp_path, jpeg, annotations):
    """A10: names start above the datasets; in the issue's words, photos lie in two places."""
    names = ["HumanArt/images/2D/a.jpg", "coco/train2017/1.jpg"]
    _photos(tmp_path, jpeg, *names, "elsewhere/x.jpg")
    images = [{"id": i, "file_name": name, "description": name} for i, name in enumerate(names)]
    file = _json(tmp_path / annotations, {"images": images, "annotations": []})
    assert _found(file) == {name: name for name in names}
    summary = look(resolve_source(str(file)), str(file))
    assert (summary.n_records, summary.n_used, summary.left_out) == (2, 1, {})


@pytest.mark.parametrize(
    "places",
    [
        ["photos/a.jpg", "images/b.jpg"],
        ["images/a.jpg", "b.jpg"],
        ["train2017/a.jpg", "val2017/b.jpg"],
        ["images/x/a.jpg", "y/b.jpg"],
    ],
)
def test_each_photo_is_looked_for_by_itself(tmp_path, jpeg, places):
    """A10: one file, several of the usual folders below one root."""
    _photos(tmp_path, jpeg, *places)
    names = [p.removeprefix("photos/").removeprefix("images/") for p in places]
    images = [{"id": i, "file_name": name, "description": name} for i, name in enumerate(names)]
    file = _json(tmp_path / "annotations/merged.json", {"images": images, "annotations": []})
    assert _found(file) == dict(zip(places, names, strict=True))


@pytest.mark.parametrize(
    "file", ["captions.json", "Captions_train.JSON", "annotations/captions.json"]
)
@pytest.mark.parametrize("other", [None, "images/other.png", "photos/other.png"])
def test_json_beside_its_photos(tmp_path, jpeg, file, other):
    """A11: as the documentation promises; a folder called images need not have them."""
    _photos(tmp_path, jpeg, "a.jpg", "sub/b.jpg", *([other] if other else []))
    _captions(tmp_path / file, ["a.jpg", "sub/b.jpg"])
    for uri in (tmp_path, tmp_path / file):
        assert _found(uri) == {"a.jpg": "a.jpg 0", "sub/b.jpg": "sub/b.jpg 0"}


COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("there", "written"),
    [
        (f"images/{DECOMPOSED}.jpg", f"{COMPOSED}.jpg"),
        (f"images/{COMPOSED}/{DECOMPOSED}.jpg", f"{DECOMPOSED}/{COMPOSED}.jpg"),
        ("images/sub/a.jpg", "sub\\a.jpg"),
        ("images/sub/a.jpg", "images\\sub\\a.jpg"),
        ("images/a.jpg", "A.JPG"),
        ("images/a b.jpg", "a%20b.jpg"),
    ],
)
def test_names_as_another_system_writes_them(tmp_path, jpeg, there, written):
    """A12, A15: Unicode forms, back-slashes, case, escapes."""
    _photos(tmp_path, jpeg, there, "images/other.jpg")
    _captions(tmp_path / "captions.json", [written])
    assert _found(tmp_path) == {there: f"{written} 0"}


@pytest.mark.parametrize("field", ["prompt", "Caption", "TEXT", "description", "text_input"])
def test_captions_by_any_name_of_the_one_table(tmp_path, jpeg, field):
    """A03: in annotations and in images."""
    _photos(tmp_path, jpeg, "images/a.jpg", "images/b.jpg")
    images = [{"id": 1, "file_name": "a.jpg", field: ["a man", "a runner"]},
              {"id": "2", "file_name": "b.jpg"}]  # fmt: skip
    data = {"images": images, "annotations": [{"image_id": 2, field: "b"}, {"image_id": 2}]}
    assert _found(_json(tmp_path / "t.json", data)) == {
        "images/a.jpg": "a man",
        "images/b.jpg": "b",
    }
    (first, _) = open_source(str(tmp_path / "t.json"))
    assert first.attributes == {"coco_image_id": 1, "other_captions": ["a runner"]}


LAION = "Aesthetics_Human"


@pytest.mark.parametrize("above", [f"{LAION}/", ""])
def test_laion_humans_mapping_file(tmp_path, jpeg, above):
    """A23: an object of one entry for each photo."""
    _photos(tmp_path / LAION, jpeg, "images/00000/0.jpg", "images/00001/1.jpg")
    data = {
        f"0000{i}_{i}": {"img_path": f"{above}images/0000{i}/{i}.jpg", "prompt": f"man {i}", "n": i}
        for i in range(2)
    }
    file = _json(tmp_path / LAION / "mapping_file_training.json", data)
    assert _found(file) == {"images/00000/0.jpg": "man 0", "images/00001/1.jpg": "man 1"}
    assert [record.attributes for record in open_source(str(file))] == [{"n": 0}, {"n": 1}]


@pytest.mark.parametrize(
    "data",
    [
        {"a.jpg": "a man", "b.jpg": ["b", "another"]},
        {"a.jpg": {"caption": "a man", "tags": "1boy"}, "b.jpg": {"caption": "b"}},
        {"a": {"caption": "a man"}, "b": {"prompt": "b"}},
        [{"image": "a.jpg", "caption": "a man"}, {"image": "b.jpg", "caption": "b"}],
        {"info": {}, "data": [{"file_name": "a.jpg", "TEXT": "a man"},
                              {"image_path": "b.jpg", "text": "b"}]},
        {"images": [{"filename": "a.jpg", "filepath": ".", "sentences": [{"raw": "a man"}]},
                    {"filename": "b.jpg", "sentences": [{"raw": "b"}]}], "dataset": "flickr30k"},
        {"images": [{"id": i, "file_name": n} for i, n in enumerate(("a.jpg", "b.jpg"))],
         "annotations": [{"image_id": "a.jpg", "text": "a man"}, {"image_id": "b", "text": "b"}]},
    ],
    ids=["texts", "kohya", "kohya_stems", "list", "one_list", "karpathy", "ids_are_names"],
)  # fmt: skip
@pytest.mark.parametrize("folder", ["", "images/"])
def test_other_files_that_map_photos_to_captions(tmp_path, jpeg, data, folder):
    """A23: what other tools write."""
    _photos(tmp_path, jpeg, f"{folder}a.jpg", f"{folder}b.jpg")
    found = _found(_json(tmp_path / "meta_cap.json", data), format="coco")
    assert found == {f"{folder}a.jpg": "a man", f"{folder}b.jpg": "b"}


@pytest.mark.parametrize(
    "name", ["result.json", "mapping_file_training.json", "annotations/training_humanart.json"]
)
@pytest.mark.parametrize("photos", ["", "images/", "images/00000/"])
def test_a_folder_whose_annotation_file_has_another_name(tmp_path, jpeg, name, photos):
    """A11, A23: the folder is given, and the file is known by what is in it."""
    _photos(tmp_path, jpeg, f"{photos}a.jpg", f"{photos}b.jpg")
    if "mapping" in name:
        data = {f"0_{n}": {"img_path": f"{photos}{n}.jpg", "prompt": f"man {n}"} for n in "ab"}
    else:
        images = [{"id": n, "file_name": f"{photos}{n}.jpg"} for n in "ab"]
        texts = [{"image_id": n, "caption": f"man {n}"} for n in "ab"]
        data = {"images": images, "annotations": texts}
    _json(tmp_path / name, data)
    info = {"info": {"description": "COCO"}, "images": [{"id": 1, "file_name": "a.jpg"}]}
    _json(tmp_path / "instances.json", info | {"annotations": [{"image_id": 1, "bbox": [0, 0]}]})
    assert _found(tmp_path) == {f"{photos}{n}.jpg": f"man {n}" for n in "ab"}


@pytest.mark.parametrize("captions", ["a.txt", "a.json", "a.jpg.json", "metadata.jsonl"])
def test_photos_with_captions_of_their_own_stay_a_folder(tmp_path, jpeg, captions):
    """A11: whatever else lies beside them; a list there speaks for those without."""
    _photos(tmp_path, jpeg, "a.jpg", "b.jpg")
    _json(tmp_path / "dataset.json", {"b.jpg": "a man", "data": {"text": "x", "image": "a.jpg"}})
    _json(tmp_path / captions, {"file_name": "a.jpg", "text": "own"})
    source = resolve_source(str(tmp_path))
    assert source.format == "folder"
    assert [record.caption_from for record in source.records()][1] == "dataset.json"
    assert next(source.records()).caption not in (None, "a man")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encodings(tmp_path, jpeg, encoding):
    """A04: annotation files as editors save them."""
    _photos(tmp_path, jpeg, "images/é.jpg")
    data = {"images": [{"id": 1, "file_name": "é.jpg", "description": "une femme âgée"}]}
    file = _json(tmp_path / "captions.json", data)
    file.write_bytes(json.dumps(data, ensure_ascii=False).encode(encoding))
    assert _found(file) == {"images/é.jpg": "une femme âgée"}


def test_one_broken_entry_costs_itself(tmp_path, jpeg):
    _photos(tmp_path, jpeg, "images/a.jpg")
    data = {
        "images": [{"id": 1, "file_name": "a.jpg"}, 7, {"id": 2}],
        "annotations": [{"caption": "of none"}, {"image_id": 1, "caption": "a man"}],
    }
    file = _json(tmp_path / "captions.json", data)
    assert _found(file) == {"images/a.jpg": "a man"}
    left: list[LeftOut] = []
    list(resolve_source(str(file)).records(left_out=left.append))
    assert [(item.uri, item.reason) for item in left] == [
        ("captions.json?row=3", "broken_row"),
        ("captions.json?row=1", "broken_row"),
        ("captions.json?row=2", "broken_row"),
    ]


def test_links_out_of_the_root_are_followed_where_that_is_asked_for(tmp_path, jpeg):
    """A22: photos of a cache that a json names."""
    _photos(tmp_path, jpeg, "blobs/0")
    (tmp_path / "set/images").mkdir(parents=True)
    (tmp_path / "set/images/a.jpg").symlink_to(tmp_path / "blobs/0")
    _captions(tmp_path / "set/captions.json", ["a.jpg"])
    assert _found(tmp_path / "set", follow_links=True) == {"images/a.jpg": "a.jpg 0"}
    source = resolve_source(str(tmp_path / "set"))
    ((_, refused),) = source.read(list(source.records()))
    assert isinstance(refused, ReadFailure)
    assert "--follow-links" in refused.detail


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
