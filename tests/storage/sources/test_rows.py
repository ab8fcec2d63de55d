"""Rows of table files, one by one, broken ones included."""

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.errors import SourceError
from storage.sources.rows import BrokenRow, iter_rows, parse_object


def test_csv_cells_are_texts_and_extra_cells_are_dropped(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfpath,text\na.jpg,"one, two\nlines"\nb.jpg\nc.jpg,x,more\n')
    assert list(iter_rows(str(path))) == [
        {"path": "a.jpg", "text": "one, two\nlines"},
        {"path": "b.jpg", "text": None},
        {"path": "c.jpg", "text": "x"},
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


def test_parquet_streams_the_columns_asked_for(tmp_path):
    rows = [{"path": f"{i}.jpg", "n": i} for i in range(130)]  # more than two batches
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    assert list(iter_rows(str(tmp_path / "t.parquet"))) == rows
    narrow = list(iter_rows(str(tmp_path / "t.parquet"), columns=["n"]))
    assert narrow == [{"n": i} for i in range(130)]


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
