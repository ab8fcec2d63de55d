"""Tables as people have them: columns of all rows, several tables, what is left out and why."""

import base64
import json
import logging
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import SourceError
from storage.sources import IMAGE_SUFFIXES, LeftOut, NamedColumns, ReadFailure, resolve_source
from storage.sources.captions import CAPTION_FIELDS


def _lines(path: Path, *rows: object) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _listed(path: Path):
    source = resolve_source(str(path))
    left: list[LeftOut] = []
    records = list(source.records(left_out=left.append))
    assert records == [*map(_untagged(records), source.records(tags=False))]
    data = [data for _, data in source.read(records)]
    return records, data, [(item.uri, item.reason) for item in left]


def _untagged(records):
    tags = iter([record.content_tag for record in records])
    return lambda record: replace(record, content_tag=next(tags))


def _table(folder: Path, kind: str, rows: list[dict[str, object]]) -> Path:
    path = folder / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "arrow":
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(str(path), table.schema) as writer:
            writer.write_table(table)
    elif kind == "feather":
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    elif kind == "json":
        path.write_text(json.dumps(rows))
    elif kind in ("csv", "tsv"):
        parts = "\t" if kind == "tsv" else ","
        cells = [[str(v) if v is not None else "" for v in row.values()] for row in rows]
        lines = [list(rows[0]), *([f'"{c.replace(chr(34), chr(34) * 2)}"' for c in line]
                                  for line in cells)]  # fmt: skip
        path.write_text("\n".join(parts.join(line) for line in lines))
    else:
        _lines(path, *rows)
    return path


KINDS = ["parquet", "arrow", "feather", "csv", "tsv", "jsonl", "ndjson", "json"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [str.lower, str.upper])
def test_a07_kinds_of_tables_in_any_case(tmp_path, jpeg, kind, suffix):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    path = _table(tmp_path, kind, [{"image_path": "a.jpg", "caption": "a man"}])
    path = path.rename(tmp_path / suffix(path.name))
    records, data, left = _listed(path)
    assert [record.caption for record in records] == ["a man"]
    assert records[0].caption_from == "column caption"
    assert data == [jpeg()]
    assert left == [(path.name, "caption_file")]


@pytest.mark.parametrize("name", ["caption", "TEXT", "Prompt", "text_input", "description"])
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a01_a03_lists_of_captions_by_the_common_names(tmp_path, jpeg, kind, name):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    rows = [{"image_path": "a.jpg", name: ["a man runs", "a runner"]}]
    records, _, _ = _listed(_table(tmp_path, kind, rows))
    assert records[0].caption == "a man runs"
    assert records[0].attributes == {"other_captions": ["a runner"]}


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_a17_bytes_in_a_column_named_after_the_format(tmp_path, jpeg, suffix):
    rows = [{"key": "0", suffix[1:]: jpeg(), "caption": "a man"}]
    records, data, _ = _listed(_table(tmp_path, "parquet", rows))
    assert records[0].attributes == {"key": "0"}
    assert data == [jpeg()]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "json"])
@pytest.mark.parametrize("cell", ["struct", "base64", "data url", "path struct"])
def test_a18_photos_within_rows_of_text_tables(tmp_path, jpeg, kind, cell):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    text = base64.b64encode(jpeg(1)).decode()
    shapes = {
        "struct": {"bytes": text, "path": "x.jpg"}, "base64": text,
        "data url": f"data:image/jpeg;base64,{text}",
        "path struct": {"bytes": None, "path": "a.jpg"},
    }  # fmt: skip
    rows = [{"image": shapes[cell], "caption": "a man"}, {"image": "a.jpg", "caption": "a runner"}]
    if kind == "csv":
        rows[0]["image"] = str(rows[0]["image"])
    records, data, _ = _listed(_table(tmp_path, kind, rows))
    assert [record.caption for record in records] == ["a man", "a runner"]
    assert data == [jpeg(1), jpeg(1)]
    assert records[0].content_tag == records[1].content_tag


@pytest.mark.parametrize(
    "rows",
    [
        [{"image_path": "a.jpg"}, {"image_path": "b.jpg", "caption": "a man"}],
        [{"image_path": "a.jpg", "caption": None}, {"image_path": "b.jpg", "caption": "a man"}],
        [{"image": None, "path": "a.jpg"}, {"path": "b.jpg", "text": "a man"}],
        [{"image_path": "a.jpg", "caption": 7}, {"image_path": "b.jpg", "prompt": "a man"}],
        [{"image_path": "a.jpg", "caption": []}, {"image_path": "b.jpg", "caption": ["a man"]}],
    ],
)
def test_a06_all_rows_decide_about_the_columns(tmp_path, jpeg, rows):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(jpeg())
    _lines(tmp_path / "t.jsonl", *rows)
    records, data, _ = _listed(tmp_path / "t.jsonl")
    assert [record.caption for record in records] == [None, "a man"]
    assert data == [jpeg(), jpeg()]


def test_a06_a_row_without_a_photo_among_others_is_a_record_that_fails(tmp_path, jpeg):
    (tmp_path / "b.jpg").write_bytes(jpeg())
    rows = [{"caption": "x"}, {"image_path": "b.jpg", "caption": "y"}, [1], {"image": 7}]
    _lines(tmp_path / "t.jsonl", *rows)
    records, data, _ = _listed(tmp_path / "t.jsonl")
    assert len(records) == 4
    assert [isinstance(item, ReadFailure) for item in data] == [True, False, True, True]


@pytest.mark.parametrize("first", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("second", ["csv", "tsv", "json", "parquet", "arrow"])
def test_a14_rows_of_two_tables_are_read_once(tmp_path, jpeg, first, second, caplog):
    (tmp_path / "img").mkdir()
    for name in "ab":
        (tmp_path / f"img/{name}.jpg").write_bytes(jpeg())
    rows = [{"image_path": f"img/{name}.jpg", "caption": f"a man {name}"} for name in "ab"]
    _table(tmp_path, first, rows).rename(tmp_path / f"0.{first}")
    _table(tmp_path, second, rows).rename(tmp_path / f"1.{second}")
    if second == "json":
        (tmp_path / "1.json").rename(tmp_path / "1.jsonl")
    with caplog.at_level(logging.WARNING):
        records, _, left = _listed(tmp_path)
    assert [record.caption for record in records] == ["a man a", "a man b"]
    assert [reason for _, reason in left].count("repeated") == 2
    assert "same caption: 2 rows" in caplog.text


def test_a14_bytes_and_paths_of_one_row_of_two_tables(tmp_path, jpeg):
    text = base64.b64encode(jpeg()).decode()
    _lines(tmp_path / "a.jsonl", {"image": text, "caption": "a man"})
    rows = [{"image": jpeg(), "caption": "a man"}, {"image": jpeg(), "caption": "a runner"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    records, _, left = _listed(tmp_path)
    assert [record.caption for record in records] == ["a man", "a runner"]
    assert ("b.parquet?row=0", "repeated") in left


def test_a14_other_captions_and_rows_of_one_table_are_records_of_their_own(tmp_path, jpeg):
    (tmp_path / "img").mkdir()
    (tmp_path / "img/a.jpg").write_bytes(jpeg())
    row = {"image_path": "img/a.jpg", "caption": "a man"}
    _lines(tmp_path / "a.jsonl", row, row)
    _lines(tmp_path / "b.jsonl", row | {"caption": "a runner"})
    records, _, _ = _listed(tmp_path)
    assert [record.caption for record in records] == ["a man", "a man", "a runner"]
    assert len({record.key for record in records}) == 3


def test_tables_that_are_none_or_lack_columns_cost_only_themselves(tmp_path, jpeg):
    (tmp_path / "img").mkdir()
    (tmp_path / "img/a.jpg").write_bytes(jpeg())
    _lines(tmp_path / "a.jsonl", {"image_path": "img/a.jpg", "caption": "a man"})
    (tmp_path / "b.parquet").write_bytes(b"no")
    (tmp_path / "c.csv").write_text("epoch,loss\n1,0.5\n")
    (tmp_path / "d.csv").write_text("image_path,caption\n")
    records, data, left = _listed(tmp_path)
    assert [record.uri for record in records] == ["img/a.jpg", "b.parquet#"]
    assert [isinstance(item, ReadFailure) for item in data] == [False, True]
    assert left[1:] == [("c.csv", "no_columns"), ("d.csv", "empty")]


def test_places_on_the_web_are_named_as_what_they_are(tmp_path):
    (tmp_path / "t.csv").write_text("url,caption\nhttp://x.org/a.jpg,a man\n")
    with pytest.raises(SourceError, match=r"'url' names places on the web.*img2dataset"):
        _listed(tmp_path / "t.csv")


def test_the_error_for_captions_names_the_known_columns(tmp_path):
    _lines(tmp_path / "t.jsonl", {"image_path": "a.jpg", "label": 3}, {"image_path": "b.jpg"})
    with pytest.raises(SourceError, match=f"captions with a name such as {CAPTION_FIELDS[0]}"):
        _listed(tmp_path / "t.jsonl")


@pytest.mark.parametrize("name", ["sub\\a.jpg", "./sub/a.jpg", "SUB/A.jpg", "sub/a.jpg "])
def test_a12_a15_names_as_other_systems_write_them(tmp_path, jpeg, name):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.jpg").write_bytes(jpeg())
    _lines(tmp_path / "t.jsonl", {"image_path": name, "caption": "a man"})
    records, data, _ = _listed(tmp_path / "t.jsonl")
    assert [record.uri for record in records] == ["sub/a.jpg"]
    assert data == [jpeg()]


def test_photos_in_a_folder_beside_the_table(tmp_path, jpeg, caplog):
    for folder, names in (("Images", "ab"), ("old", "b")):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.jpg").write_bytes(jpeg())
    rows = [{"image": f"{name}.jpg", "caption": "x"} for name in "abc"]  # b: in two; c: nowhere
    _lines(tmp_path / "t.jsonl", *rows)
    records, data, _ = _listed(tmp_path / "t.jsonl")
    assert [record.uri for record in records] == ["Images/a.jpg", "b.jpg", "c.jpg"]
    assert [isinstance(item, ReadFailure) for item in data] == [False, True, True]
    assert "none of the photos" not in caplog.text
    _lines(tmp_path / "t.jsonl", *rows[1:])
    _listed(tmp_path / "t.jsonl")
    assert "none of the photos" in caplog.text
    assert "--images" in caplog.text


@pytest.mark.parametrize("pack", ["gz", "bz2", "xz"])
def test_packed_tables(tmp_path, jpeg, pack):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    with fsspec.open(str(tmp_path / f"t.csv.{pack}"), "wt", compression="infer") as file:
        file.write("image_path,caption\na.jpg,a man\n")
    records, data, _ = _listed(tmp_path / f"t.csv.{pack}")
    assert [record.caption for record in records] == ["a man"]
    assert data == [jpeg()]


def test_a_struct_whose_photo_changes_makes_another_record(tmp_path, jpeg):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    rows = [{"image": {"bytes": None, "path": "a.jpg"}, "caption": "a man"}]
    for kind in ("parquet", "arrow", "jsonl", "csv"):
        path = _table(tmp_path, kind, rows)
        source = resolve_source(str(path))
        (before,) = source.records()
        (tmp_path / "a.jpg").write_bytes(jpeg(2))
        (after,) = source.records()
        (tmp_path / "a.jpg").write_bytes(jpeg(1))
        assert before.content_tag != after.content_tag, kind
        assert before.key == after.key, kind


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_columns_of_unknown_names_are_named_by_options(tmp_path, jpeg, kind):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    row = {"foto": "a.jpg", "image": "other.jpg", "Beschreibung": ["x", "y"], "caption": "no"}
    path = _table(tmp_path, kind, [row])
    columns = NamedColumns(image="foto", caption="Beschreibung")
    for place in (path, tmp_path):
        source = resolve_source(str(place), columns=columns)
        (record,) = source.records()
        assert record.caption == "x"
        assert record.attributes == {"image": "other.jpg", "caption": "no", "other_captions": ["y"]}
        assert [data for _, data in source.read([record])] == [jpeg()]
    with pytest.raises(SourceError, match=r"photos with the name bild, got .*--image-column"):
        list(resolve_source(str(path), columns=NamedColumns(image="bild")).records())
    with pytest.raises(SourceError, match=r"captions with the name y, got .*--caption-column"):
        list(resolve_source(str(path), columns=NamedColumns(caption="y")).records())


def test_bytes_in_a_column_of_an_unknown_name(tmp_path, jpeg):
    path = _table(tmp_path, "parquet", [{"foto": jpeg(), "caption": "a man"}])
    source = resolve_source(str(path), columns=NamedColumns(image="foto"))
    assert [data for _, data in source.read(list(source.records()))] == [jpeg()]


def test_columns_are_for_tables(tmp_path):
    with pytest.raises(ValueError, match=r"--image-column and --caption-column .* are for tables"):
        resolve_source(str(tmp_path), format="folder", columns=NamedColumns(image="x"))
