"""One listing of some tables: every row a record, or left out with a reason."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from storage.canonical import encode_path, valid_text
from storage.content_tags import TagCache, hash_tag
from storage.errors import SourceError
from storage.locations import join
from storage.records import SourceRecord
from storage.sources.base import (
    CAPTION_FILE,
    UNTAGGED,
    LeftOut,
    LeftOutSink,
    ReadFailure,
    make_record,
)
from storage.sources.captions import CAPTION_FIELDS
from storage.sources.columns import (
    BY_NAME,
    EMPTY_CELL,
    PHOTO_COLUMNS,
    NamedColumns,
    describe_row,
    has_caption_column,
    has_photo_column,
    photo_columns,
    pick_photo,
)
from storage.sources.files import tag_file, too_many_bytes
from storage.sources.rows import BrokenRow, column_names, iter_rows, table_kind
from storage.sources.table_ids import id_column, with_text_id
from storage.sources.table_photos import RowPhotos, SeenPhotos

logger = logging.getLogger(__name__)

ROW_MARK = "?row="
"""Ends the URI of a row that names no photo and holds none."""

_KEPT_BY_NUMBER = (bytes, Mapping, type(None))
_NO_PATH = "no image path"
_PEEKED_ROWS = 100
_WEB_COLUMNS = frozenset({"url", "urls", "image_url", "img_url", "link", "src"})


class TableListing:
    """Lists tables one after the other, and counts."""

    def __init__(
        self,
        root: str,
        photos: RowPhotos,
        seen: SeenPhotos,
        *,
        cache: TagCache | None,
        left_out: LeftOutSink,
        columns: NamedColumns,
    ) -> None:
        self._root = root
        self._columns = columns
        self._photos = photos
        self._seen = seen
        self._cache = cache
        self._left_out = left_out
        self._in_folder = photos.root == root  # else their paths start at --images alone
        self._n_repeated = 0

    def records(self, tables: Sequence[str]) -> Iterator[SourceRecord]:
        """The records of all tables.

        A table without the columns, or one that cannot be read, ends the listing only where it is
        the only one.

        Raises:
            SourceError: see above; or there is no record.
        """
        empty = True
        faults: list[str] = []
        several = len(tables) > 1
        # Rows with bytes can only be the same in tables of different kinds: else it is a split.
        kinds = {table_kind(name) for name in tables}
        for name in tables:
            try:
                fault = missing_columns(join(self._root, name), named=self._columns)
                by_id = self._id_column(name) if fault is not None else None
                if fault is not None and by_id is None:
                    faults.append(fault)
                    self._left_out(LeftOut(uri=encode_path(name), reason="no_columns"))
                    continue
                hashed = len(kinds) > 1
                for record in self._table(name, several=several, hashed=hashed, by_id=by_id):
                    empty = False
                    yield record
            except SourceError as error:
                if not several:
                    raise
                empty = False
                logger.warning("%s; its photos are missing", error)
                yield _broken(f"{encode_path(name)}#", "the table cannot be read")
        self._report(faults if not empty else [])
        if empty:
            raise SourceError(
                "; ".join(faults[:3]) or f"no rows in {len(tables)} tables of {self._root}"
            )

    def _id_column(self, name: str) -> str | None:
        if self._columns != BY_NAME:
            return None
        return id_column(join(self._root, name), self._photos, folder=self._folder(name))

    def _folder(self, name: str) -> str:
        """Where a table's paths start, below the photos' root."""
        return name.rpartition("/")[0] if self._in_folder else ""

    def _table(
        self, name: str, *, several: bool, hashed: bool, by_id: str | None
    ) -> Iterator[SourceRecord]:
        encoded = encode_path(name)
        numbered = table_kind(name) in ("parquet", "arrow")  # rows are named so, whatever they hold
        folder, n_rows = self._folder(name), 0
        rows = iter_rows(join(self._root, name), with_bytes=hashed or self._cache is not None)
        for number, row in enumerate(rows):
            n_rows += 1
            by_number = f"{encoded}{ROW_MARK}{number}"
            if isinstance(row, BrokenRow):
                yield _broken(by_number, row.detail)
                continue
            if by_id is not None:
                row = with_text_id(row, by_id)
            column, photo = pick_photo(row, named=by_id or self._columns.image)
            path = self._path(photo, folder) if isinstance(photo, str) else None
            caption, attributes, caption_from = describe_row(
                row, column, named=self._columns.caption
            )
            known = path or (photo if hashed else None)
            if several and self._is_repeated(known, caption, name, by_number):
                continue
            cell = row.get(column or "")
            if isinstance(photo, bytes) or (numbered and isinstance(cell, _KEPT_BY_NUMBER)):
                uri, tag = f"{encoded}#{number}", self._cell_tag(path, photo)
            elif path is not None:
                uri = self._seen.mark(encode_path(path))
                tag = self._file_tag(path)
            else:
                yield _broken(by_number, _fault_of(photo))
                continue
            yield make_record(
                uri,
                caption=caption,
                attributes=attributes,
                content_tag=tag,
                caption_from=f"column {caption_from}" if caption_from else "",
            )
        self._left_out(LeftOut(uri=encoded, reason=CAPTION_FILE if n_rows else "empty"))

    def _path(self, photo: str, folder: str) -> str:
        return self._photos.path(valid_text(photo), folder=folder)

    def _file_tag(self, path: str) -> str:
        follow = self._photos.follow_links
        return tag_file(self._photos.root, path, cache=self._cache, follow_links=follow)

    def _cell_tag(self, path: str | None, photo: bytes | str | ReadFailure) -> str:
        if self._cache is None:
            return UNTAGGED
        if path is not None:
            return self._file_tag(path)
        usable = isinstance(photo, bytes) and too_many_bytes(len(photo)) is None
        return hash_tag(photo) if isinstance(photo, bytes) and usable else "no image"

    def _is_repeated(self, photo: object, caption: str | None, name: str, row: str) -> bool:
        """Whether another table has given the row, which then is left out."""
        if isinstance(photo, bytes):
            photo = hash_tag(photo)
        if not isinstance(photo, str):
            return False
        first = self._seen.other_table(name, photo, caption)
        if first is not None:
            self._left_out(LeftOut(uri=row, reason="repeated", detail=f"stands in {first}, too"))
            self._n_repeated += 1
        return first is not None

    def _report(self, faults: list[str]) -> None:
        """Say once what was left out."""
        if self._n_repeated:
            logger.warning(
                "left out of the tables of %s, as another of them has the same photo with the same "
                "caption: %d rows; give one file as the source if this is not meant",
                self._root,
                self._n_repeated,
            )
        for fault in faults:
            logger.warning("left out: %s", fault)
        self._photos.report()


def missing_columns(uri: str, *, named: NamedColumns = BY_NAME) -> str | None:
    """What a table lacks, as a sentence; None of one that has columns of photos and of captions.

    All rows decide, where they are not all of the same columns; a table without any lacks nothing.

    Raises:
        SourceError: the table cannot be read.
    """
    image, caption = named.image, named.caption
    names: set[str] = set()
    for found in column_names(uri):
        names |= found
        has_photo = image in names if image else bool(photo_columns(names))
        has_caption = caption in names if caption else has_caption_column(names)
        if has_photo and has_caption:
            return None
    if not names:
        return None
    if image and image not in names:
        return _lacking(uri, "photos", [image], names)
    if not image and not photo_columns(names) and not _has_struct(uri):
        return _lacking(uri, "photos", PHOTO_COLUMNS[:12], names) + _web_hint(names)
    if caption and caption not in names:
        return _lacking(uri, "captions", [caption], names)
    if caption or has_caption_column(names):
        return None
    return _lacking(uri, "captions", CAPTION_FIELDS[:8], names)


def _web_hint(names: set[str]) -> str:
    web = sorted(
        name[:100] for name in names if name.casefold() in _WEB_COLUMNS or "://" in name[:200]
    )
    if not web:
        return ""
    return (
        f", or where {web[0]!r} names places on the web, fetch the photos first, such as with "
        "img2dataset, and give what it writes as the source"
    )


def _has_struct(uri: str) -> bool:
    rows = islice(iter_rows(uri), _PEEKED_ROWS)
    return any(has_photo_column(row) for row in rows if isinstance(row, dict))


def _lacking(uri: str, what: str, known: Sequence[str], names: set[str]) -> str:
    option = "--image-column" if what == "photos" else "--caption-column"
    such = "the name" if len(known) == 1 else "a name such as"
    return (
        f"{uri}: expected a column of {what} with {such} {', '.join(known)}, got "
        f"{sorted(names)[:30]}; name yours by {option}"
    )


def _fault_of(photo: bytes | str | ReadFailure) -> str:
    fault = photo.detail if isinstance(photo, ReadFailure) else ""
    return _NO_PATH if fault == EMPTY_CELL.detail else fault  # shards of earlier versions say so


def _broken(uri: str, detail: str) -> SourceRecord:
    return make_record(
        uri, caption=None, attributes={"error": detail}, content_tag=hash_tag(detail.encode())
    )
