"""Table sources: bytes or paths, all rows are records."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.content_tags import hash_tag
from storage.errors import SourceError
from storage.sources import ReadFailure, open_source, resolve_source


@pytest.mark.parametrize("as_struct", [False, True])
def test_parquet_with_bytes(tmp_path, jpeg, as_struct):
    cells = [jpeg(i) if i != 2 else None for i in range(5)]
    images = [{"bytes": cell, "path": None} for cell in cells] if as_struct else cells
    rows = [{"image": c, "caption": f"c{i}", "licence": i} for i, c in enumerate(images)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=2)
    source = resolve_source(str(tmp_path))
    records = list(source.records())
    assert source.format == "table"
    assert [record.uri for record in records] == [f"t.parquet#{i}" for i in range(5)]
    assert records[3].caption == "c3"
    assert records[3].attributes == {"licence": 3}
    data = [data for _, data in source.read(records[::-1])][::-1]
    assert data[:2] + data[3:] == cells[:2] + cells[3:]
    assert isinstance(data[2], ReadFailure)


@pytest.mark.parametrize("fields", [("bytes", "path"), ("path",)])
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_struct_with_a_path_is_tagged_by_the_file(tmp_path, jpeg, kind, fields):
    for i in range(2):
        (tmp_path / f"{i}.jpg").write_bytes(jpeg(i))
    names = ["0.jpg", str(tmp_path / "1.jpg"), "gone.jpg", "../out.jpg", None]
    rows = [{"image": dict.fromkeys(fields) | {"path": n}, "text": "x"} for n in names]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    else:
        (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = resolve_source(str(tmp_path / f"t.{kind}"))
    before = list(source.records())
    data = [data for _, data in source.read(before)]
    assert data[:2] == [jpeg(0), jpeg(1)]
    assert all(isinstance(item, ReadFailure) for item in data[2:])
    assert before[0].content_tag != before[1].content_tag
    (tmp_path / "1.jpg").write_bytes(jpeg(5))
    after = list(source.records())
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, False, True, True, True]
    assert [data for _, data in source.read(after[:2])] == [jpeg(0), jpeg(5)]
    assert isinstance(next(source.read(before[1:2]))[1], ReadFailure)  # changed since listed


def test_a_struct_with_bytes_is_tagged_by_them_whatever_its_path(tmp_path, jpeg):
    (tmp_path / "0.jpg").write_bytes(jpeg(7))
    rows = [{"image": {"bytes": jpeg(0), "path": "0.jpg"}, "text": "x"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    source = resolve_source(str(tmp_path / "t.parquet"))
    (record,) = source.records()
    assert record.content_tag == hash_tag(jpeg(0))
    assert next(source.read([record]))[1] == jpeg(0)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_paths(tmp_path, jpeg, kind):
    (tmp_path / "p").mkdir()
    for i in range(2):
        (tmp_path / f"p/{i}.jpg").write_bytes(jpeg(i))
    paths = ["p/0.jpg", str(tmp_path / "p/1.jpg"), "p/0.jpg", "../out.jpg", "gone.jpg"]
    rows = [{"image_path": path, "text": f"c{i}"} for i, path in enumerate(paths)]
    file = tmp_path / f"list.{kind}"
    if kind == "csv":
        file.write_text("image_path,text\n" + "".join(f"{p},c{i}\n" for i, p in enumerate(paths)))
    elif kind == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), file)
    source = resolve_source(str(file))
    records = list(source.records())
    assert [record.caption for record in records] == [f"c{i}" for i in range(5)]
    assert len({record.key for record in records}) == 5
    data = [data for _, data in source.read(records)]
    assert data[:3] == [jpeg(0), jpeg(1), jpeg(0)]
    assert all(isinstance(item, ReadFailure) for item in data[3:])


def test_broken_rows_are_records_that_fail(tmp_path, jpeg):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    lines = ['{"path": "a.jpg", "text": "x"}', "{broken", '{"path": null, "text": "y"}']
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    source = resolve_source(str(tmp_path / "t.jsonl"))
    records = list(source.records())
    data = [data for _, data in source.read(records)]
    assert data[0] == jpeg()
    assert [isinstance(item, ReadFailure) for item in data] == [False, True, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a,b\n1,2\n", "image_path"), ("path,b\nx.jpg,2\n", "caption"), ("path,text\n", "no rows")],
)
def test_missing_columns_are_named(tmp_path, text, expected):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SourceError, match=expected):
        list(open_source(str(tmp_path / "t.csv")))


def test_a_parquet_that_is_none(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"no")
    with pytest.raises(SourceError, match=r"t\.parquet"):
        list(open_source(str(tmp_path / "t.parquet")))


@pytest.mark.parametrize("cell", ["a.jpg", {"bytes": None, "path": "a.jpg"}])
def test_photos_behind_links_out_of_the_root(tmp_path, jpeg, cell):
    """A22: a hub's cache whose table names its photos by path."""
    (tmp_path / "blob").write_bytes(jpeg())
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.jpg").symlink_to(tmp_path / "blob")
    table = tmp_path / "set/t.parquet"
    pq.write_table(pa.table({"image": [cell], "text": ["a man"]}), table)
    for follow, expected in ((True, jpeg()), (False, None)):
        source = resolve_source(str(table), follow_links=follow)
        ((_, data),) = source.read(list(source.records()))
        assert (data if isinstance(data, bytes) else None) == expected
        assert expected or "--follow-links" in str(data)
