"""Rows of parquet files: all of them, without their photos' bytes, or some by their numbers."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from storage.sources.columns import Row, photo_columns

UNREAD = b"unread"
"""Stands in a cell whose bytes are there, and were not read."""

_BATCH_ROWS = 64
_MANY_ROWS = 1024


def parquet_rows(file: BinaryIO, *, with_bytes: bool = True) -> Iterator[Row]:
    """The rows in order, a batch in memory at a time.

    Without bytes, columns of photos (or structs with a field ``bytes``) of which a row group says
    that none is missing are not read: their cells hold ``UNREAD``.
    """
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    if with_bytes:
        for batch in table.iter_batches(_BATCH_ROWS):
            yield from batch.to_pylist()
        return
    leaves = [table.schema.column(n).path for n in range(table.metadata.num_columns)]
    for group in range(table.num_row_groups):
        unread = _full_bytes(table, group)
        read = [path for path in leaves if path not in unread]
        n_rows = _MANY_ROWS if unread else _BATCH_ROWS
        for batch in table.iter_batches(n_rows, row_groups=[group], columns=read):
            yield from (_filled(row, unread) for row in batch.to_pylist())


def _filled(row: Row, unread: list[str]) -> Row:
    for path in unread:
        column, _, leaf = path.partition(".")
        if not leaf:
            row[column] = UNREAD
            continue
        struct = row.get(column)
        row[column] = (struct if isinstance(struct, dict) else {}) | {leaf: UNREAD}
    return row


def _full_bytes(table: Any, group: int) -> list[str]:
    """The binary columns of a row group that need not be read to know that a photo is there."""
    facts = table.metadata.row_group(group)
    photos = set(photo_columns(table.schema_arrow.names))
    found: list[str] = []
    for n in range(facts.num_columns):
        path = table.schema.column(n).path
        column, _, leaf = path.partition(".")
        binary = table.schema.column(n).physical_type == "BYTE_ARRAY" and _is_bytes(table, column)
        if binary and (leaf == "bytes" or (not leaf and column in photos)):
            statistics = facts.column(n).statistics
            if statistics is not None and statistics.has_null_count and not statistics.null_count:
                found.append(path)
    return found


def _is_bytes(table: Any, column: str) -> bool:
    import pyarrow as pa

    kind = table.schema_arrow.field(column).type
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        kind = kind.field(place).type if place >= 0 else kind
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def numbered_rows(
    file: BinaryIO, wanted: set[int], *, column: str | None = None
) -> Iterator[tuple[int, Row]]:
    """Rows by their numbers, with their photo columns alone; other row groups are not read.

    ``column`` is the photos', where it is none that is known by its name.
    """
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    known = photo_columns(table.schema_arrow.names)
    columns = ([column] if column else list(known)) or None
    start = 0
    for group in range(table.num_row_groups):
        end = start + table.metadata.row_group(group).num_rows
        if any(start <= number < end for number in wanted):
            number = start
            for batch in table.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
                for place in range(batch.num_rows):
                    if number in wanted:
                        (row,) = batch.slice(place, 1).to_pylist()
                        yield number, row
                    number += 1
        start = end
