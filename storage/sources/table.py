"""Tables (parquet, csv, jsonl, arrow) with an image column (bytes or paths) and a text column."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Literal

from storage.canonical import decode_path
from storage.errors import SourceError
from storage.locations import is_directory, join
from storage.records import SourceRecord
from storage.sources.base import Contents, LeftOutSink, ReadFailure, without_root
from storage.sources.columns import BY_NAME, NamedColumns
from storage.sources.containers import containers_below, is_table_name, usable_table
from storage.sources.files import checked, read_photos, tag_cache
from storage.sources.presence import check_present
from storage.sources.rows import TABLE_SUFFIXES, begins_list
from storage.sources.table_listing import ROW_MARK, TableListing
from storage.sources.table_photos import RowPhotos, SeenPhotos, read_cells


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """One record per row. Rows with bytes are named by their number, rows with paths by the path.

    A photo that several rows of one table name gives one record per row; a row whose photo and
    caption another table has given already is left out.
    """

    root: str  # where the tables lie; paths in the rows start at `images`, or here
    tables: tuple[str, ...]  # names below the root, in order
    images: str | None = None
    follow_links: bool = False  # out of the root
    columns: NamedColumns = BY_NAME

    format: Literal["table"] = "table"
    unlisted: tuple[str, ...] = ()  # always: no folders are walked

    @property
    def photo_root(self) -> str:
        """Where the paths in the rows start."""
        return self.images or self.root

    def _photos(self) -> RowPhotos:
        return RowPhotos(self.photo_root, follow_links=self.follow_links)

    def records(
        self, *, left_out: LeftOutSink | None = None, tags: bool = True
    ) -> Iterator[SourceRecord]:
        """Records in row order.

        Raises:
            SourceError: no table has a row and the columns; one that is the only one cannot be
                read.
        """
        with tag_cache(tags=tags) as cache, closing(SeenPhotos()) as seen:
            listing = TableListing(
                self.root,
                self._photos(),
                seen,
                cache=cache,
                left_out=left_out or _forget,
                columns=self.columns,
            )
            yield from listing.records(self.tables)

    def read(self, records: Sequence[SourceRecord]) -> Contents:
        """The photos' bytes, in the order given."""
        for container, group in groupby(records, key=lambda record: record.uri.partition("#")[:2]):
            if container[1]:
                yield from self._read_rows(decode_path(container[0]), list(group))
            else:
                yield from self._read_paths(list(group))

    def _read_paths(self, records: list[SourceRecord]) -> Contents:
        for is_row, group in groupby(records, key=lambda record: ROW_MARK in record.uri):
            if not is_row:
                yield from read_photos(self.photo_root, list(group), follow_links=self.follow_links)
                continue
            for record in group:
                yield record, ReadFailure(f"row without a photo: {record.attributes.get('error')}")

    def _read_rows(self, name: str, records: list[SourceRecord]) -> Contents:
        numbers = [record.uri.partition("#")[2] for record in records]
        wanted = {int(number) for number in numbers if number}
        try:
            photos = self._photos()
            folder = "" if self.images else name.rpartition("/")[0]
            reader = partial(photos.read, folder=folder)
            uri, column = join(self.root, name), self.columns.image
            cells = read_cells(uri, wanted, reader, column=column) if wanted else {}
        except Exception as error:  # pyarrow and object stores raise errors of their own
            check_present(self.root, error)
            for record in records:
                yield record, ReadFailure(f"{name}: {without_root(error, self.root)}")
            return
        for number, record in zip(numbers, records, strict=True):
            missing = f"{name} has no row {number}" if number else f"{name} cannot be read"
            data = cells.get(int(number)) if number else None
            yield record, checked(record, data or ReadFailure(missing))


def _forget(_: object) -> None:
    """Nobody asked what is left out."""


def table_source(uri: str, *, images: str | None, follow_links: bool = False) -> TableSource:
    """The source for one table file, or for a folder with some in it or in its subfolders.

    ``follow_links`` reads photos and folders that are links out of the source.

    Raises:
        SourceError: the folder holds no table.
    """
    if not is_directory(uri):
        root, _, name = uri.rpartition("/")
        return TableSource(
            root=root or "/", tables=(name,), images=images, follow_links=follow_links
        )
    names = containers_below(uri, is_table_name, follow_links=follow_links)
    if usable_table(uri, names) is None:
        lists = containers_below(uri, _is_json, follow_links=follow_links)
        names = (*names, *(name for name in lists if begins_list(join(uri, name))))
    if not names:
        raise SourceError(
            f"no tables in {uri}: expected files ending in {', '.join(TABLE_SUFFIXES)} (any case, "
            "subfolders too)"
        )
    return TableSource(root=uri, tables=names, images=images, follow_links=follow_links)


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")
