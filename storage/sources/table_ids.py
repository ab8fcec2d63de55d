"""Tables that name photos in columns of other uses: ids, which are names without their endings."""

from collections.abc import Iterable
from itertools import islice

from storage.errors import SourceError
from storage.sources.captions import folded_field
from storage.sources.columns import Row, has_caption_column, photo_columns, pick_photo
from storage.sources.rows import iter_rows
from storage.sources.table_photos import RowPhotos

ID_COLUMNS = (
    "target", "target_image", "edited_image", "output_image",  # beside what it is made from
    "image_id", "img_id", "photo_id", "image_key", "key", "__key__", "id", "name", "stem", "uid",
    "uuid", "hash", "image_hash", "md5", "sha256",
)  # fmt: skip
"""Names of columns that may hold ids or paths; they count where a photo is called so."""

_PEEKED_ROWS = 20
_RANKS = {folded_field(name): rank for rank, name in enumerate(ID_COLUMNS)}


def id_column(uri: str, photos: RowPhotos, *, folder: str = "") -> str | None:
    """The column of a table of captions whose cells are names of photos; None of other tables.

    ``folder`` is the table's, below the photos' root.
    """
    rows = _peeked(uri)
    names = {name: None for row in rows for name in row}
    if photo_columns(names) or not has_caption_column(names):
        return None
    return next((name for name in _ids(names) if _is_of_photos(name, rows, photos, folder)), None)


def names_photos(uri: str, photos: RowPhotos, *, folder: str = "") -> bool:
    """Whether a table's first rows name photos that are there; not of one that holds them."""
    for row in _peeked(uri):
        _, photo = pick_photo(row)
        if isinstance(photo, str) and photos.is_there(photo, folder=folder):
            return True
    return id_column(uri, photos, folder=folder) is not None


def with_text_id(row: Row, column: str) -> Row:
    """A row whose id is a text: numbers are names, too."""
    return row | {column: _text(row.get(column))}


def _peeked(uri: str) -> list[Row]:
    try:
        peeked = islice(iter_rows(uri, with_bytes=False), _PEEKED_ROWS)
        return [row for row in peeked if isinstance(row, dict)]
    except SourceError:
        return []  # told by who reads it


def _ids(names: Iterable[str]) -> list[str]:
    found = [name for name in names if folded_field(name) in _RANKS]
    return sorted(found, key=lambda name: _RANKS[folded_field(name)])


def _is_of_photos(column: str, rows: list[Row], photos: RowPhotos, folder: str) -> bool:
    texts = (_text(row.get(column)) for row in rows)
    return any(text is not None and photos.is_there(text, folder=folder) for text in texts)


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None
