"""Annotation files: the shapes, and what becomes of broken entries."""

import json

import pytest
import yaml

from storage.errors import SourceError
from storage.sources import resolve_source
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


GPT = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "a man"}]
SHAPES = {
    "mapping": {"a.jpg": "a man", "b.jpg": ["a dog", "x"]},
    "mapping_of_stems": {"a": "a man", "b": "a dog"},
    "mapping_under_a_title": {"info": {"description": "x"}, "captions": {"a.jpg": "a man",
                              "b.jpg": "a dog"}},
    "mappings_by_split": {"train": {"a.jpg": "a man"}, "val": {"b.jpg": {"text": "a dog"}}},
    "kohya": {"a": {"caption": "a man", "tags": "1boy"}, "b": {"tags": "a dog"}},
    "diffusiondb": {"a.jpg": {"p": "a man", "se": 1, "c": 7.0}, "b.jpg": {"p": "a dog"}},
    "coco": {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
             "annotations": [{"image_id": 2, "caption": "a dog"},
                             {"image_id": 1, "caption": "a man"}]},
    "coco_of_other_names": {"images": [{"image_id": "x", "filename": "a.jpg"},
                                       {"image_id": "y", "filename": "b.jpg"}],
                            "annotations": [{"img_id": "x", "text": "a man"},
                                            {"image": "y", "sentence": "a dog"}]},
    "coco_by_id": {"images": {"1": {"path": "a.jpg"}, "2": {"path": "b.jpg"}},
                   "annotations": {"1": ["a man"], "2": {"caption": "a dog"}}},
    "coco_by_name": {"images": ["a.jpg", "b.jpg"],
                     "annotations": [{"file_name": "a.jpg", "caption": "a man"},
                                     {"file_name": "b.jpg", "caption": "a dog"}]},
    "annotations_alone": {"annotations": [{"image_path": "a.jpg", "caption": "a man"},
                                          {"image_path": "b.jpg", "caption": "a dog"}]},
    "lists_by_split": {"train": [{"image": "a.jpg", "caption": "a man"}],
                       "test": [{"image": "b.jpg", "caption": "a dog"}]},
    "columns": {"image": ["a.jpg", "b.jpg"], "caption": ["a man", "a dog"]},
    "pandas": {"file": {"0": "a.jpg", "1": "b.jpg"}, "text": {"0": "a man", "1": "a dog"}},
    "llava": {"data": [{"image": "a.jpg", "conversations": GPT},
                       {"image": "b.jpg", "caption": "a dog"}]},
    "list": [{"image": "a.jpg", "caption": "a man"}, {"image": "b.jpg", "caption": "a dog"}],
    "list_of_pairs": [["a.jpg", "a man"], ["b.jpg", ["a dog"]]],
}  # fmt: skip


@pytest.mark.parametrize("ending", ["json", "yaml", "yml"])
@pytest.mark.parametrize("photos", ["", "images", "some_photos"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read_from_a_folder_in_json_and_in_yaml(
    tmp_path, jpeg, shape, photos, ending
):
    root = tmp_path / "s"
    (root / photos).mkdir(parents=True)
    for n, name in enumerate(("a.jpg", "b.jpg")):
        (root / photos / name).write_bytes(jpeg(n))
    text = json.dumps(SHAPES[shape], indent=1) if ending == "json" else yaml.dump(SHAPES[shape])
    (root / f"set.{ending}").write_text(text)
    source = resolve_source(str(root))
    records = list(source.records())
    assert [record.caption for record in records] == ["a man", "a dog"]
    assert [data for _, data in source.read(records)] == [jpeg(0), jpeg(1)]
    assert source.format == ("table" if text.startswith("[") else "coco")


def test_names_of_kohyas_on_another_machine(tmp_path, jpeg):
    (tmp_path / "s").mkdir()
    for name in "ab":
        (tmp_path / f"s/{name}.jpg").write_bytes(jpeg())
    rows = {"/workspace/s/a.jpg": {"caption": "a man"}, "/x/s/b": {"tags": ["a dog", "red"]}}
    (tmp_path / "s/meta_cap.json").write_text(json.dumps(rows))
    records = list(resolve_source(str(tmp_path / "s")).records())
    assert [(r.uri, r.caption) for r in records] == [("a.jpg", "a man"), ("b.jpg", "a dog, red")]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: [*a, *a]\n",  # a small file of any size
        "[" * 60 + "]" * 60,
        "a: [\n",
        "!!python/object/apply:os.system ['true']\n",
        "names: {0: person}\nnc: {a: 1}\n",
        "",
    ],
)
def test_yaml_of_other_programs_is_none(tmp_path, jpeg, text):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/a.jpg").write_bytes(jpeg())
    (tmp_path / "s/data.yaml").write_text(text)
    assert resolve_source(str(tmp_path / "s")).format == "folder"
    with pytest.raises(SourceError, match=r"data\.yaml: not a COCO captions file"):
        read_annotations(str(tmp_path / "s/data.yaml"), on_broken=lambda *_: None)


def test_words_of_yaml_stay_texts(tmp_path):
    (tmp_path / "t.yaml").write_text("a.jpg: no\nb.jpg: 2024-01-01\nc.jpg: 'a man: two'\n")
    found = read_annotations(str(tmp_path / "t.yaml"), on_broken=lambda *_: None)
    assert [photo.texts for photo in found.values()] == [["no"], ["2024-01-01"], ["a man: two"]]


@pytest.mark.parametrize("folder", ["Flickr8k_text", "annotations", "anno", "captions"])
def test_lists_in_a_folder_of_their_own(tmp_path, jpeg, folder):
    for path in ("s/Flicker8k_Dataset", "s/masks", f"s/{folder}"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "s/Flicker8k_Dataset/a.jpg").write_bytes(jpeg())
    (tmp_path / "s/masks/a.jpg").write_bytes(jpeg(1))
    (tmp_path / "s" / folder / "readme.txt").write_text("x")
    files = {"Flickr8k.token.txt": "a.jpg#0\ta man\n", "Flickr8k.lemma.token.txt": "a.jpg#0\tman\n",
             "ExpertAnnotations.txt": "a.jpg\tb.jpg#2\t1\t1\t2\n",
             "Flickr_8k.trainImages.txt": "a.jpg\n"}  # fmt: skip
    for name, text in files.items():
        (tmp_path / "s" / folder / name).write_text(text)
    (record,) = resolve_source(str(tmp_path / "s")).records()
    assert (record.uri, record.caption) == ("Flicker8k_Dataset/a.jpg", "a man")
