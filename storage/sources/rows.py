"""Rows of parquet, csv and jsonl files, streamed; a row that cannot be read is still a row."""

import csv
import io
import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from storage.errors import SourceError
from storage.locations import filesystem

TABLE_SUFFIXES = (".parquet", ".csv", ".jsonl")
_BATCH_ROWS = 64
_MAX_CELL_CHARS = 2**20


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row of which only its position is known."""

    detail: str


Row = dict[str, object]


@contextmanager
def open_binary(uri: str) -> Generator[BinaryIO, None, None]:
    """Open a location for reading.

    Raises:
        SourceError: it cannot be opened.
    """
    try:
        fs, path = filesystem(uri)
        file = fs.open(path, "rb")
    except Exception as error:  # object stores raise their clients' own errors
        raise SourceError(f"{uri}: cannot be opened: {error}") from error
    with file:
        yield file


def iter_rows(uri: str, *, columns: list[str] | None = None) -> Iterator[Row | BrokenRow]:
    """The rows of one table file in order, chosen by its suffix.

    Raises:
        SourceError: the file as a whole cannot be read.
    """
    if uri.endswith(".parquet"):
        yield from _parquet_rows(uri, columns)
    elif uri.endswith(".csv"):
        yield from _csv_rows(uri)
    elif uri.endswith(".jsonl"):
        yield from _jsonl_rows(uri)
    else:
        raise SourceError(f"{uri}: expected a table file ending in one of {TABLE_SUFFIXES}")


def _parquet_rows(uri: str, columns: list[str] | None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with open_binary(uri) as file:
        try:
            for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=columns):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{uri}: not a readable parquet file: {error}") from error


def _csv_rows(uri: str) -> Iterator[Row | BrokenRow]:
    csv.field_size_limit(_MAX_CELL_CHARS)
    with open_binary(uri) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
        reader: csv.DictReader[Any] = csv.DictReader(text)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield BrokenRow(str(error))
                continue
            if row is None:
                return
            yield {str(name): value for name, value in row.items() if name is not None}


def _jsonl_rows(uri: str) -> Iterator[Row | BrokenRow]:
    with open_binary(uri) as file:
        for line in file:
            if line.strip():
                yield parse_object(line)


def parse_object(data: bytes) -> Row | BrokenRow:
    """A JSON object from bytes."""
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return BrokenRow(f"not JSON: {error}")
    if not isinstance(value, dict):
        return BrokenRow(f"expected a JSON object, got {type(value).__name__}")
    return value
