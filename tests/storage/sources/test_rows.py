"""Rows of table files, one by one, broken ones included."""

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import SourceError
from storage.sources.rows import BrokenRow, iter_rows, parse_object


def test_csv_cells_are_texts_and_those_too_many_belong_to_the_caption(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfpath,text\na.jpg,"one, two\nlines"\nb.jpg\nc.jpg,x,more\n')
    assert list(iter_rows(str(path))) == [
        {"path": "a.jpg", "text": "one, two\nlines"},
        {"path": "b.jpg", "text": None},
        {"path": "c.jpg", "text": "x,more"},
    ]


def test_a_csv_cell_that_is_too_long_is_one_broken_row(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"path,text\na.jpg,{'x' * (2**20 + 1)}\nb.jpg,ok\n")
    rows = list(iter_rows(str(path)))
    assert isinstance(rows[0], BrokenRow)
    assert rows[-1] == {"path": "b.jpg", "text": "ok"}


def test_jsonl_skips_blank_lines_and_keeps_broken_ones(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1}\n\n  \n[1]\n{"a": 2}')
    first, broken, last = iter_rows(str(path))
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert isinstance(broken, BrokenRow)
    assert "expected a JSON object, got list" in broken.detail


@pytest.mark.parametrize("data", [b"\xff", b"", b"{", b"[" * 100_000])
def test_bytes_that_are_no_object_never_raise(data):
    assert isinstance(parse_object(data), BrokenRow)
    assert parse_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_parquet_streams(tmp_path):
    rows = [{"path": f"{i}.jpg", "n": i} for i in range(130)]  # more than two batches
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert list(iter_rows(str(tmp_path / "t.parquet"))) == rows


@pytest.mark.parametrize("name", ["t.parquet", "t.xlsx", "gone.csv"])
def test_files_that_cannot_be_read_are_named(tmp_path, name):
    if not name.startswith("gone"):
        (tmp_path / name).write_bytes(b"not a table")
    with pytest.raises(SourceError, match=name.replace(".", r"\.")):
        list(iter_rows(str(tmp_path / name)))


def test_object_stores_are_read_too(tmp_path):
    uri = f"memory://rows-{tmp_path.name}/t.jsonl"
    with fsspec.open(uri, "wb") as file:
        file.write(b'{"a": 1}\n')
    assert list(iter_rows(uri)) == [{"a": 1}]


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.ndjson"])
@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": 2}]',
        '[\n  {"a": 1},\n  {"a": 2}\n]\n',
        '{"a": 1}\n{"a": 2}\n',
        '\ufeff[{"a": 1}, {"a": 2}]',
    ],
)
def test_json_lists_and_objects_a_line_whatever_the_suffix_says(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert list(iter_rows(str(tmp_path / name))) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
def test_json_in_other_encodings(tmp_path, name, encoding):
    (tmp_path / name).write_bytes('{"a": "âgée"}\n{"a": "x"}\n'.encode(encoding))
    assert list(iter_rows(str(tmp_path / name))) == [{"a": "âgée"}, {"a": "x"}]


@pytest.mark.parametrize("name", ["captions.txt", "list", "t.dat"])
def test_a_file_without_a_tables_suffix_is_known_by_its_beginning(tmp_path, name):
    for data in (b"image,caption\na.jpg,x\n", b'{"image": "a.jpg", "caption": "x"}\n'):
        (tmp_path / name).write_bytes(data)
        assert list(iter_rows(str(tmp_path / name))) == [{"image": "a.jpg", "caption": "x"}]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"data": [{"a": 1}, {"a": 2}], "n": 2}', [{"a": 1}, {"a": 2}]),  # datasets' `field`
        ('{"a": "x.jpg", "captions": ["y", "z"]}', [{"a": "x.jpg", "captions": ["y", "z"]}]),
    ],
)
def test_json_objects_are_lists_in_one_field_or_one_row(tmp_path, text, rows):
    (tmp_path / "t.json").write_text(text)
    assert list(iter_rows(str(tmp_path / "t.json"))) == rows
