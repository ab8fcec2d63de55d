"""Tables (parquet, csv, jsonl) with an image column (bytes or paths) and a text column."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from storage.canonical import decode_path, encode_path, key_of, valid_text
from storage.content_tags import TagCache, hash_tag
from storage.errors import SourceError
from storage.locations import is_directory, join
from storage.records import SourceRecord
from storage.sources.base import (
    UNTAGGED,
    Contents,
    LeftOutSink,
    ReadFailure,
    make_record,
    without_root,
)
from storage.sources.files import (
    OCCURRENCE_MARK,
    checked,
    read_photo,
    read_photos,
    tag_cache,
    tag_file,
    too_many_bytes,
)
from storage.sources.listing import names_of
from storage.sources.metadata import METADATA_NAMES
from storage.sources.rows import TABLE_SUFFIXES, BrokenRow, iter_rows, open_binary

IMAGE_COLUMNS = (
    "image", "image_bytes", "bytes", "jpg", "png", "img", "image_path", "path", "file_name",
    "filename", "image_file", "file",
)  # fmt: skip
TEXT_COLUMNS = ("caption", "text", "TEXT", "captions", "description", "prompt", "sentence")
_ROW_MARK = "?row="


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """One record per row. Rows with bytes are named by their number, rows with paths by the path.

    A photo that several rows name gives one record per row.
    """

    root: str  # where the tables lie; paths in the rows start at `images`, or here
    tables: tuple[str, ...]
    images: str | None = None

    format: Literal["table"] = "table"
    unlisted: tuple[str, ...] = ()  # always: no folders are walked

    def records(
        self, *, left_out: LeftOutSink | None = None, tags: bool = True
    ) -> Iterator[SourceRecord]:
        """Records in row order.

        Raises:
            SourceError: a table cannot be read, lacks a column, or all are empty.
        """
        empty = True
        with tag_cache(tags=tags) as cache, closing(_Occurrences()) as seen:
            for name in self.tables:
                for record in self._table_records(name, cache, seen):
                    empty = False
                    yield record
        if empty:
            raise SourceError(f"no rows in {len(self.tables)} tables of {self.root}")

    def read(self, records: Sequence[SourceRecord]) -> Contents:
        """The photos' bytes, in the order given."""
        for container, group in groupby(records, key=lambda record: record.uri.partition("#")[:2]):
            if container[1]:
                yield from self._read_rows(decode_path(container[0]), list(group))
            else:
                yield from self._read_paths(list(group))

    def _table_records(
        self, name: str, cache: TagCache | None, seen: "_Occurrences"
    ) -> Iterator[SourceRecord]:
        uri = join(self.root, name)
        in_rows = uri.endswith(".parquet")  # where bytes can stand, and are read row by row
        image_column: str | None = None
        text_column: str | None = None
        for number, row in enumerate(iter_rows(uri)):
            if isinstance(row, BrokenRow):
                yield _broken(f"{encode_path(name)}{_ROW_MARK}{number}", row.detail)
                continue
            if image_column is None:
                image_column = _find_column(uri, row, IMAGE_COLUMNS)
                text_column = _find_column(uri, row, TEXT_COLUMNS)
            cell, text = row.get(image_column), row.get(text_column or "")
            rest = {k: v for k, v in row.items() if k not in (image_column, text_column)}
            attributes = {k: v for k, v in rest.items() if not _has_bytes(v)}
            struct = isinstance(cell, dict) and ("bytes" in cell or "path" in cell)
            if isinstance(cell, dict) and not in_rows:
                cell = cell.get("path")
            if in_rows and (cell is None or struct or isinstance(cell, bytes)):
                place, tag = f"{encode_path(name)}#{number}", self._cell_tag(cell, cache)
            elif isinstance(cell, str) and cell:
                path = self._relative(valid_text(cell))
                place = seen.mark(encode_path(path))
                tag = tag_file(self._photo_root, path, cache=cache)
            else:
                yield _broken(f"{encode_path(name)}{_ROW_MARK}{number}", "no image path")
                continue
            yield make_record(place, caption=text, attributes=attributes, content_tag=tag)

    @property
    def _photo_root(self) -> str:
        return self.images or self.root

    def _relative(self, path: str) -> str:
        """The path below the photos' root; what lies elsewhere stays as it is and is refused."""
        inside = path.startswith(self._photo_root.rstrip("/") + "/")
        if inside:
            path = path[len(self._photo_root.rstrip("/")) + 1 :]
        return path.removeprefix("./")

    def _cell_tag(self, cell: object, cache: TagCache | None) -> str:
        if cache is None:
            return UNTAGGED
        data = _cell_bytes(cell)
        if isinstance(data, str):
            return tag_file(self._photo_root, self._relative(data), cache=cache)
        return hash_tag(data) if isinstance(data, bytes) else "no image"

    def _read_paths(self, records: list[SourceRecord]) -> Contents:
        for is_row, group in groupby(records, key=lambda record: _ROW_MARK in record.uri):
            if not is_row:
                yield from read_photos(self._photo_root, list(group))
                continue
            for record in group:
                yield record, ReadFailure(f"row without a photo: {record.attributes.get('error')}")

    def _read_rows(self, name: str, records: list[SourceRecord]) -> Contents:
        wanted = [int(record.uri.partition("#")[2]) for record in records]
        try:
            cells = _read_cells(join(self.root, name), set(wanted))
        except Exception as error:  # pyarrow and object stores raise errors of their own
            for record in records:
                yield record, ReadFailure(f"{name}: {without_root(error, self.root)}")
            return
        for number, record in zip(wanted, records, strict=True):
            data = cells.get(number, ReadFailure(f"{name} has no row {number}"))
            if isinstance(data, str):
                data = read_photo(self._photo_root, self._relative(data))
            yield record, checked(record, data)


class _Occurrences:
    """Counts how often a photo was named, on disk so that memory stays flat."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, n INTEGER)")

    def mark(self, uri: str) -> str:
        """The URI, told apart from earlier records of the same photo."""
        (n,) = self._database.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n",
            (key_of(uri),),
        ).fetchone()
        return uri if n == 1 else f"{uri}{OCCURRENCE_MARK}{n}"

    def close(self) -> None:
        self._database.close()


def table_source(uri: str, *, images: str | None) -> TableSource:
    """The source for one table file, or for a folder that holds some.

    Raises:
        SourceError: the folder holds no table.
    """
    if uri.lower().endswith(TABLE_SUFFIXES):
        root, _, name = uri.rpartition("/")
        return TableSource(root=root or "/", tables=(name,), images=images)
    names = tuple(find_tables(uri)) if is_directory(uri) else ()
    if not names:
        raise SourceError(f"no tables in {uri}: expected files ending in {TABLE_SUFFIXES}")
    return TableSource(root=uri, tables=names, images=images)


def find_tables(folder: str) -> list[str]:
    """Names of the visible table files of a folder; metadata files are a folder's captions."""
    return [
        name
        for name in names_of(folder)
        if name.endswith(TABLE_SUFFIXES) and name not in METADATA_NAMES and name[0] not in "._"
    ]


def _broken(uri: str, detail: str) -> SourceRecord:
    return make_record(
        uri, caption=None, attributes={"error": detail}, content_tag=hash_tag(detail.encode())
    )


def _find_column(uri: str, row: Mapping[str, object], names: Sequence[str]) -> str:
    for name in names:
        if name in row:
            return name
    raise SourceError(f"{uri}: expected a column named one of {list(names)}, got {sorted(row)}")


def _has_bytes(value: object) -> bool:
    return isinstance(value, bytes) or (isinstance(value, dict) and "bytes" in value)


def _cell_bytes(cell: Any) -> bytes | str | ReadFailure:
    """What an image cell holds: bytes, or (Hugging Face's struct) the path of a file."""
    data = (cell.get("bytes") or cell.get("path")) if isinstance(cell, dict) else cell
    if not data or not isinstance(data, bytes | str):
        return ReadFailure("the image cell is empty")
    return too_many_bytes(len(data)) or data


def _read_cells(uri: str, wanted: set[int]) -> dict[int, bytes | str | ReadFailure]:
    """Image cells of some rows; only the row groups that hold them are read."""
    import pyarrow.parquet as pq

    cells: dict[int, bytes | str | ReadFailure] = {}
    with open_binary(uri) as file:
        table = pq.ParquetFile(file)
        column = next(name for name in IMAGE_COLUMNS if name in table.schema_arrow.names)
        start = 0
        for group in range(table.num_row_groups):
            end = start + table.metadata.row_group(group).num_rows
            if any(start <= number < end for number in wanted):
                number = start
                for batch in table.iter_batches(64, row_groups=[group], columns=[column]):
                    for cell in batch.column(0):
                        if number in wanted:
                            cells[number] = _cell_bytes(cell.as_py())
                        number += 1
            start = end
    return cells
