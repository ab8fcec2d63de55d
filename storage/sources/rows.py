"""Rows of table files, streamed; a row that cannot be read is still a row."""

import io
import json
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal

from storage.errors import SourceError
from storage.locations import check_regular, filesystem
from storage.sources.base import has_image_suffix
from storage.sources.captions import caption_texts, decode_text
from storage.sources.csv_rows import BrokenRow, Row, csv_dialect, csv_rows, decoded_lines
from storage.sources.parquet_rows import parquet_rows

__all__ = [
    "TABLE_SUFFIXES",
    "BrokenRow",
    "Row",
    "begins_list",
    "column_names",
    "is_pair",
    "iter_rows",
    "open_binary",
    "parse_object",
    "table_kind",
]

TableKind = Literal["parquet", "arrow", "csv", "jsonl", "json"]

TABLE_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".arrow", ".feather")
_KIND_OF_SUFFIX: dict[str, TableKind] = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
_PACKED = {".gz": "gzip", ".tgz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
_HEAD_BYTES = 2**16


def table_kind(name: str) -> TableKind | None:
    """What kind of table a file's name says it is, in any case, packed or not; None of others."""
    lower = name.lower()
    for suffix in _PACKED:
        lower = lower.removesuffix(suffix)
    kind = _KIND_OF_SUFFIX.get(f".{lower.rpartition('.')[2]}")
    return None if kind in ("parquet", "arrow") and lower != name.lower() else kind


@contextmanager
def open_binary(uri: str) -> Generator[BinaryIO, None, None]:
    """Open a location for reading; what its name says is packed is unpacked.

    Raises:
        SourceError: it cannot be opened.
    """
    try:
        check_regular(uri)
        fs, path = filesystem(uri)
        file = fs.open(path, "rb", compression=_compression(uri))
    except Exception as error:  # object stores raise their clients' own errors
        raise SourceError(f"{uri}: cannot be opened: {error}") from error
    with file:
        yield file


def _compression(uri: str) -> str | None:
    return _PACKED.get(f".{uri.lower().rpartition('.')[2]}")


def iter_rows(uri: str, *, with_bytes: bool = True) -> Iterator[Row | BrokenRow]:
    """The rows of one table file in order; its suffix says of which kind it is, else its beginning.

    Without bytes, those of parquet's photos are not read, where they need not be.

    Raises:
        SourceError: the file as a whole cannot be read.
    """
    with open_binary(uri) as file:
        kind = table_kind(uri) or _kind_of(uri, file)
        try:
            if kind == "parquet":
                yield from parquet_rows(file, with_bytes=with_bytes)
            elif kind == "arrow":
                for batch in _arrow_batches(file):
                    yield from batch.to_pylist()
            elif kind == "csv":
                yield from csv_rows(decoded_lines(file))
            elif not _is_one_value(file, kind):
                yield from _objects(decoded_lines(file))
            else:
                yield from _json_rows(uri, file)
        except SourceError:
            raise
        except Exception as error:  # pyarrow, gzip and object stores raise errors of their own
            raise SourceError(f"{uri}: not a readable {kind} file: {error}") from error


def column_names(uri: str) -> Iterator[set[str]]:
    """The names of a table's columns: of its schema or header, else of one row after the other.

    Raises:
        SourceError: the file as a whole cannot be read.
    """
    with open_binary(uri) as file:
        kind = table_kind(uri) or _kind_of(uri, file)
        try:
            if kind == "parquet":
                import pyarrow.parquet as pq

                yield set(pq.ParquetFile(file).schema_arrow.names)
                return
            if kind == "csv":
                lines = decoded_lines(file)
                first = [line for line, _ in zip(lines, range(20), strict=False)]
                dialect = csv_dialect(first)
                yield set(dialect.columns if dialect else ())
                return
        except Exception as error:  # pyarrow and object stores raise errors of their own
            raise SourceError(f"{uri}: not a readable {kind} file: {error}") from error
    for row in iter_rows(uri):
        if isinstance(row, dict):
            yield set(row)


def begins_list(uri: str) -> bool:
    """Whether a JSON file is a list, or has an object a line: rows, no annotation file.

    Raises:
        SourceError: it cannot be opened.
    """
    with open_binary(uri) as file:
        head = decode_text(file.read(_HEAD_BYTES)).lstrip("\ufeff \t\r\n")
    first, *others = head.split("\n")
    second = next((line.strip() for line in others if line.strip()), "")
    return head[:1] == "[" or (first.strip()[-1:] == "}" and second[:1] == "{")


def _kind_of(uri: str, file: BinaryIO) -> TableKind:
    """What a file without a known suffix is, by its beginning."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return "arrow"
    text = decode_text(head).lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "["):
        return "json"
    lines = text.splitlines()
    dialect = csv_dialect(lines[:20]) if "\0" not in text else None
    if dialect is not None and len(dialect.columns) > 1:
        return "csv"
    raise SourceError(f"{uri}: expected a table file ending in one of {', '.join(TABLE_SUFFIXES)}")


def _is_one_value(file: BinaryIO, kind: TableKind) -> bool:
    """Whether a file is one JSON value, not an object a line; its suffix need not say the truth."""
    lines = decoded_lines(io.BytesIO(file.read(_HEAD_BYTES)))
    file.seek(0)
    filled = (line for line in lines if line.strip("\ufeff \t\r\n"))
    first, second = next(filled, "").lstrip("\ufeff \t"), next(filled, "").lstrip()
    if kind == "jsonl" or first.startswith("["):
        return re.match(r"\[\s*([\[{]|$)", first) is not None
    return isinstance(_object(first), BrokenRow) or not second.startswith("{")


def _json_rows(uri: str, file: BinaryIO) -> Iterator[Row | BrokenRow]:
    """The objects of a JSON list, as pandas and many datasets have them."""
    value: Any = json.loads(decode_text(file.read()))
    if isinstance(value, dict):
        lists = [item for item in value.values() if _is_list_of_objects(item)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list):
        raise SourceError(f"{uri}: expected a list of objects, got {type(value).__name__}")
    for item in value:
        if is_pair(item):
            yield {"image": item[0], "caption": item[1]}
        else:
            yield item if isinstance(item, dict) else _no_object(item)


def is_pair(item: Any) -> bool:
    """A photo's name and its caption, or captions, in a list."""
    if not (isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)):
        return False
    return has_image_suffix(item[0]) and bool(caption_texts(item[1]))


def _is_list_of_objects(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value)


def _arrow_batches(file: BinaryIO) -> Iterator[Any]:
    """Batches of Arrow's file or stream format; Hugging Face's caches are of the latter."""
    import pyarrow as pa

    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    if is_file:
        reader = pa.ipc.open_file(file)
        yield from (reader.get_batch(n) for n in range(reader.num_record_batches))
        return
    yield from pa.ipc.open_stream(file)


def _objects(lines: Iterable[str]) -> Iterator[Row | BrokenRow]:
    for line in lines:
        if line.strip("\ufeff \t\r\n"):
            yield _object(line)


def parse_object(data: bytes) -> Row | BrokenRow:
    """A JSON object from bytes, in any of the encodings of captions."""
    return _object(decode_text(data))


def _object(text: str) -> Row | BrokenRow:
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        return BrokenRow(f"not JSON: {error}")
    return value if isinstance(value, dict) else _no_object(value)


def _no_object(value: object) -> BrokenRow:
    return BrokenRow(f"expected a JSON object, got {type(value).__name__}")
