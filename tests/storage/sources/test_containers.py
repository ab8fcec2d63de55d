"""What a folder is taken for, at whichever depth its photos, tars or tables lie (A02, A20)."""

import io
import json
import logging
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.sources import LeftOut, ReadFailure, resolve_source
from storage.sources.containers import folder_format


def _put(path: Path, data: bytes | str = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def _parquet(path: Path, **columns: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def _tar(path: Path, **members: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("caption", ["txt", "json"])
def test_a02_loose_files_of_img2dataset_are_a_folder(tmp_path, jpeg, caption):
    for shard in ("00000", "00001"):
        _put(tmp_path / shard / f"{shard}0000.jpg", jpeg())
        _put(tmp_path / shard / f"{shard}0000.{caption}", json.dumps({"caption": "a man"}))
        _parquet(tmp_path / f"{shard}.parquet", url=["u"], caption=["a man"], key=["0"])
        _put(tmp_path / f"{shard}_stats.json", "{}")
    source = resolve_source(str(tmp_path))
    assert source.format == "folder"
    assert len(list(source.records())) == 2


def test_a02_tars_and_parquet_of_img2dataset_are_what_they_were(tmp_path, jpeg):
    _tar(tmp_path / "t/00000.tar", a_jpg=jpeg(), a_txt=b"a man")
    _parquet(tmp_path / "t/00000.parquet", url=["u"], caption=["a man"], key=["0"])
    assert folder_format(str(tmp_path / "t")) == "webdataset"
    _parquet(tmp_path / "p/00000.parquet", jpg=[jpeg()], caption=["a man"], url=["u"], key=["0"])
    assert folder_format(str(tmp_path / "p")) == "table"


@pytest.mark.parametrize("folder", ["data", "data/train", "default/train/parts", "."])
def test_a20_hub_snapshots(tmp_path, jpeg, folder):
    for split in ("train", "test"):
        name = f"{split}-00000-of-00001.parquet"
        _parquet(tmp_path / "r" / folder / name, image=[jpeg()], text=[f"a man {split}"])
    _put(tmp_path / "r/README.md")
    _put(tmp_path / "r/.gitattributes")
    _put(tmp_path / "r/.cache/huggingface/x.parquet")
    source = resolve_source(str(tmp_path / "r"))
    records = list(source.records())
    assert source.format == "table"
    assert [record.caption for record in records] == ["a man test", "a man train"]
    assert [data for _, data in source.read(records)] == [jpeg(), jpeg()]


def test_a20_a_hub_cache_whose_files_are_links(tmp_path, jpeg):
    _parquet(tmp_path / "blobs/0123", image=[jpeg()], text=["a man"])
    (tmp_path / "snapshots/abc/data").mkdir(parents=True)
    link = tmp_path / "snapshots/abc/data/train-00000-of-00001.parquet"
    link.symlink_to("../../../blobs/0123")
    source = resolve_source(str(tmp_path / "snapshots/abc"))
    records = list(source.records())
    assert [data for _, data in source.read(records)] == [jpeg()]


def test_a20_a_picture_for_the_readme_makes_no_folder_of_a_table(tmp_path, jpeg):
    _put(tmp_path / "assets/preview.png", jpeg())
    _parquet(tmp_path / "data/train.parquet", image=[jpeg()], text=["a man"])
    assert folder_format(str(tmp_path)) == "table"


@pytest.mark.parametrize("suffix", ["tar", "TAR", "tar.gz", "tgz"])
@pytest.mark.parametrize("folders", [("a", "b"), (".", "val"), ("x/y/z", "x/y/w")])
def test_a20_tars_in_folders(tmp_path, jpeg, folders, suffix):
    for n, folder in enumerate(folders):
        _tar(tmp_path / folder / f"0.{suffix}", a_jpg=jpeg(n), a_txt=b"a man")
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    assert source.format == "webdataset"
    assert len(records) == 2
    found = dict(zip([r.uri for r in records], [d for _, d in source.read(records)], strict=True))
    for n, folder in enumerate(folders):
        prefix = "" if folder == "." else f"{folder}/"
        assert found[f"{prefix}0.{suffix}#a.jpg"] == jpeg(n)


def test_photos_deep_down_are_a_folder_as_ever(tmp_path, jpeg):
    _put(tmp_path / "a/b/c/d.jpg", jpeg())
    _put(tmp_path / "log.csv", "epoch,loss\n1,2\n")
    assert folder_format(str(tmp_path)) == "folder"


def test_folders_in_circles_end(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").symlink_to(tmp_path)
    assert folder_format(str(tmp_path)) == "folder"


TALK = [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "a man"}]


@pytest.mark.parametrize("table", ["set.csv", "list.tsv", "LIST.CSV"])
def test_photos_beside_a_table_stay_a_folder_and_a_warning_says_how_to_have_the_table(
    tmp_path, jpeg, caplog, table
):
    _put(tmp_path / "a.jpg", jpeg())
    _put(tmp_path / table, "image,text\na.jpg,men\n")
    with caplog.at_level(logging.WARNING):
        assert folder_format(str(tmp_path)) == "folder"
    assert f"captions of {table} count if that file is given" in caplog.text
    caplog.clear()
    _put(tmp_path / "a.txt", "a man")
    assert folder_format(str(tmp_path)) == "folder"
    assert table not in caplog.text


@pytest.mark.parametrize(
    ("table", "content"),
    [
        ("data.json", json.dumps([{"image": "a.jpg", "caption": "a man"}])),
        ("data.json", json.dumps([{"id": "a", "image": "a.jpg", "conversations": TALK}])),
        ("pairs.json", json.dumps([["a.jpg", "a man"]])),
        ("captions.csv", "image,caption\na.jpg,a man\n"),
        ("image_captions_v2.tsv", "file\ttext\na.jpg\ta man\n"),
        ("train.csv", "image,caption\na.jpg,a man\n"),
        ("rows.jsonl", json.dumps({"image": "a.jpg", "conversations": TALK})),
        ("prompts.jsonl", json.dumps({"file": "a.jpg", "prompt": "a man"})),
    ],
)
@pytest.mark.parametrize("folder", ["", "images"])
def test_a_table_that_is_theirs_gives_captions_to_the_photos_beside(
    tmp_path, jpeg, table, content, folder
):
    _put(tmp_path / "s" / folder / "a.jpg", jpeg())
    _put(tmp_path / "s" / table, content)
    _put(tmp_path / "s/log.csv", "epoch,loss\n1,2\n")
    source = resolve_source(str(tmp_path / "s"))
    records = list(source.records())
    assert source.format == "table"
    assert [record.caption for record in records] == ["a man"]
    assert [data for _, data in source.read(records)] == [jpeg()]


@pytest.mark.parametrize("content", ["[1, 2]", "[]", '[["a.jpg", 3]]', '["a.jpg"]', '[{"id": 1}]'])
def test_a_list_of_something_else_beside_photos_changes_nothing(tmp_path, jpeg, content):
    _put(tmp_path / "s/a.jpg", jpeg())
    _put(tmp_path / "s/data.json", content)
    assert folder_format(str(tmp_path / "s")) == "folder"


def test_a_table_of_other_photos_beside_photos_changes_nothing(tmp_path, jpeg):
    _put(tmp_path / "s/a.jpg", jpeg())
    _parquet(tmp_path / "s/train.parquet", image=[jpeg(1)], text=["a man"])
    _put(tmp_path / "s/data.json", json.dumps([{"image": "elsewhere/b.jpg", "caption": "a man"}]))
    assert folder_format(str(tmp_path / "s")) == "folder"


def test_a_list_in_json_is_a_table(tmp_path, jpeg):
    _put(tmp_path / "images/a.jpg", jpeg())
    _put(tmp_path / "set.json", json.dumps([{"image": "images/a.jpg", "caption": "a man"}]))
    for place in (tmp_path, tmp_path / "set.json"):
        source = resolve_source(str(place))
        assert source.format == "table"
        assert [record.caption for record in source.records()] == ["a man"]


def test_one_bad_table_among_others_kills_nothing(tmp_path, jpeg):
    _put(tmp_path / "data/0.parquet", b"PAR1 and nothing else")
    _parquet(tmp_path / "data/1.parquet", image=[jpeg()], text=["a man"])
    source = resolve_source(str(tmp_path))
    left: list[LeftOut] = []
    records = list(source.records(left_out=left.append))
    assert [record.uri for record in records] == ["data/0.parquet#", "data/1.parquet#0"]
    failed = [isinstance(data, ReadFailure) for _, data in source.read(records)]
    assert failed == [True, False]


def test_a20_tars_and_tables_in_folders_of_an_object_store(tmp_path, jpeg):
    _tar(tmp_path / "t/x/0.tar", a_jpg=jpeg(1), a_txt=b"a man")
    _tar(tmp_path / "t/y/z/1.tar.gz", a_jpg=jpeg(2), a_txt=b"a man")
    _parquet(tmp_path / "p/data/train.parquet", image=[jpeg(3)], text=["a man"])
    _put(tmp_path / "p/README.md")
    _put(tmp_path / "f/deep/er/a.jpg", jpeg(4))
    store = fsspec.filesystem("memory")
    base = f"/c-{tmp_path.name}"
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        store.pipe_file(f"{base}/{path.relative_to(tmp_path)}", path.read_bytes())
    for folder, kind in (("t", "webdataset"), ("p", "table"), ("f", "folder")):
        source = resolve_source(f"memory://{base[1:]}/{folder}")
        here = resolve_source(str(tmp_path / folder))
        records = list(source.records())
        assert source.format == here.format == kind
        assert [record.uri for record in records] == [record.uri for record in here.records()]
        assert all(isinstance(data, bytes) for _, data in source.read(records))


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("end", ["", "\n", "\r\n\n"])
def test_a11_an_annotation_file_is_no_list_of_rows(tmp_path, jpeg, indent, end):
    _put(tmp_path / "a.jpg", jpeg())
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "a man"}],
    }
    path = _put(tmp_path / "captions.json", json.dumps(coco, indent=indent) + end)
    source = resolve_source(str(path))
    assert source.format == "coco"
    assert [record.caption for record in source.records()] == ["a man"]
