"""Which columns of a table hold photos, and what a cell of one holds: bytes, or a path."""

import ast
import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from storage.sources.base import IMAGE_SUFFIXES, ReadFailure, has_image_suffix
from storage.sources.captions import caption_fields, caption_texts, split_caption

PHOTO_COLUMNS = (
    "image", "image_bytes", "bytes", "jpg", "png", "img", "image_path", "path", "file_name",
    "filename", "image_file", "file", "images", "photo", "picture", "img_path", "image_name",
    "img_name", "image_file_name", "image_filename", "img_file", "file_path", "photo_path",
    "photo_name", "photo_file", "picture_path", "img_bytes", "image_data", "img_data",
    "image_base64", "image_b64", "base64", "b64", "local_path", "rel_path", "relative_path",
    *sorted(suffix[1:] for suffix in IMAGE_SUFFIXES if suffix not in (".jpg", ".png")),
)  # fmt: skip
"""Names of columns that hold photos or name their files, the best first; case, blanks, ``_`` and
``-`` do not matter. Those of img2dataset's parquet are named after the format: ``jpg``, ``webp``.
"""

_WEB = re.compile(r"(https?|ftp)://", re.IGNORECASE)
_DATA_URL = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
# How base64 of JPEG, PNG, GIF, WebP, TIFF begins; no path is so long.
_BASE64_STARTS = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "SUkqA", "TU0AK")
_MIN_BASE64_CHARS = 64
_STRUCT_FIELDS = ("bytes", "path")
_NESTED = frozenset({
    "json", "metadata", "meta", "conversations", "conversation", "messages", "texts",
})  # fmt: skip
_ANSWERERS = ("gpt", "assistant", "model")

EMPTY_CELL = ReadFailure("the image cell is empty")

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedColumns:
    """Columns that the user names, exactly as the table does; None: those known by their names."""

    image: str | None = None  # --image-column
    caption: str | None = None  # --caption-column


BY_NAME = NamedColumns()
"""No column is named by the user."""


def _folded(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", name.strip("\ufeff \t").casefold())


_RANKS = {_folded(name): rank for rank, name in reversed(list(enumerate(PHOTO_COLUMNS)))}


def photo_columns(names: Iterable[str]) -> tuple[str, ...]:
    """Those of some columns' names that hold photos or name their files, the best first."""
    return _photo_columns(tuple(names))


@lru_cache(256)
def _photo_columns(names: tuple[str, ...]) -> tuple[str, ...]:
    ranked = [(_RANKS[_folded(name)], place, name) for place, name in enumerate(names)
              if _folded(name) in _RANKS]  # fmt: skip
    return tuple(name for _, _, name in sorted(ranked))


def has_photo_column(row: Mapping[str, object]) -> bool:
    """Whether a row has a column that holds a photo, by its name or by what stands in it."""
    return bool(photo_columns(row)) or _struct_column(row) is not None


def pick_photo(
    row: Mapping[str, object], *, named: str | None = None
) -> tuple[str | None, bytes | str | ReadFailure]:
    """The column of a row that gives its photo, and the photo: its bytes, or its file's path.

    Only the ``named`` column counts, where one is.

    The first column with a usable cell counts, so that a table may hold bytes for some rows and
    paths for others. Where no name is known, Hugging Face's struct of bytes and path is.
    """
    if named is not None:
        return (named, photo_of(row[named])) if named in row else (None, EMPTY_CELL)
    unknown = _struct_column(row)
    columns = photo_columns(row) or (() if unknown is None else (unknown,))
    failure: ReadFailure | None = None
    for column in columns:
        photo = photo_of(row[column])
        if not isinstance(photo, ReadFailure):
            return column, photo
        failure = failure or photo
    if failure is None:
        return None, ReadFailure(f"no column of a photo; expected one such as {PHOTO_COLUMNS[0]!r}")
    return next(iter(columns)), failure


def _struct_column(row: Mapping[str, object]) -> str | None:
    structs = [
        name
        for name, cell in row.items()
        if isinstance(cell, Mapping) and any(field in cell for field in _STRUCT_FIELDS)
    ]
    return structs[0] if len(structs) == 1 else None


def photo_of(cell: object) -> bytes | str | ReadFailure:
    """The photo that a cell holds: bytes, or the path of a file; ReadFailure says what is wrong.

    Bytes may be base64 or a data URL, a struct of bytes and path may be text (as csv files have
    it), and a list may hold one of all these.
    """
    if isinstance(cell, str):
        return _of_text(cell)
    if isinstance(cell, bytes | bytearray | memoryview):
        return bytes(cell) or EMPTY_CELL
    if isinstance(cell, Mapping):
        return _of_struct(cell)
    if isinstance(cell, Sequence):
        if len(cell) == 1:
            return photo_of(cell[0])
        if len(cell) > 1:
            return ReadFailure(f"{len(cell)} photos in one cell, expected one: give each its row")
    if cell is None or cell != cell or isinstance(cell, Sequence):  # not equal to itself: NaN
        return EMPTY_CELL
    return ReadFailure(f"expected a photo's bytes or its path, got {type(cell).__name__}")


def _of_struct(cell: Mapping[str, object]) -> bytes | str | ReadFailure:
    found = {_folded(str(name)): value for name, value in cell.items()}
    data = found.get("bytes")
    if isinstance(data, Sequence) and not isinstance(data, str | bytes | bytearray):
        try:
            data = bytes(data)  # numbers, as JSON has them
        except (TypeError, ValueError):
            return ReadFailure("expected bytes as numbers from 0 to 255")
    if isinstance(data, str) and data:
        decoded = _decoded(data)
        return decoded if decoded is not None else ReadFailure("bytes as text: expected base64")
    if data:
        return photo_of(data)
    path = next((found[name] for name in ("path", "filename", "src", "url") if found.get(name)), "")
    return photo_of(path if isinstance(path, str) else None)


def _of_text(text: str) -> bytes | str | ReadFailure:
    stripped = text.strip()
    if not stripped:
        return EMPTY_CELL
    if _WEB.match(stripped):
        return ReadFailure(
            f"{stripped[:200]!r} is a place on the web: fetch the photos first, such as with "
            "img2dataset, and give what it writes as the source"
        )
    url = _DATA_URL.match(stripped)
    long = len(stripped) >= _MIN_BASE64_CHARS
    if url or (long and stripped.startswith(_BASE64_STARTS)):
        data = _decoded(stripped[url.end() :] if url else stripped)
        return data if data is not None else ReadFailure("base64 that cannot be decoded")
    if stripped[0] in "{[" or stripped[:2] in ("b'", 'b"'):
        value = _parsed(stripped)
        if value is not None:
            return photo_of(value)
    return text


def _decoded(text: str) -> bytes | None:
    url = _DATA_URL.match(text)
    plain = re.sub(r"\s+", "", text[url.end() :] if url else text)
    plain = plain.translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _parsed(text: str) -> object:
    """A struct, list or bytes that were written as text; None of what is only a strange name."""
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict | list | bytes):
            return value
    return None


def has_caption_column(names: Iterable[str]) -> bool:
    """Whether some columns' names are those of captions, or of structs that may hold one."""
    known = list(names)
    return bool(caption_fields(known)) or any(_folded(name) in _NESTED for name in known)


def describe_row(
    row: Mapping[str, object], photo_column: str | None, *, named: str | None = None
) -> tuple[str | None, dict[str, object], str]:
    """The caption of a row, its other cells as attributes, and the column of the caption.

    Only the ``named`` column gives a caption, where one is.

    Cells that hold bytes are no attributes. Where no column has a text, a struct of facts has, as
    hubs make it of a tar's JSON, or the answer of a conversation, as language models' photos have.
    """
    rest = {
        name: cell for name, cell in row.items() if name != photo_column and not _has_bytes(cell)
    }
    if named is not None:
        texts = caption_texts(rest.pop(named, None))
        others = {"other_captions": texts[1:]} if texts[1:] else {}
        return next(iter(texts), None), rest | others, named if texts else ""
    columns = caption_fields(rest)
    caption, attributes = split_caption(rest, dropped=columns[:1])
    if caption is not None and caption.strip():
        spoken = (name for name in columns if caption_texts(rest[name])[:1] == [caption])
        return caption, attributes, next(spoken)
    for name, cell in rest.items():
        nested = nested_caption(name, cell)
        if nested:
            return nested, attributes, name
    return caption, attributes, ""


def describe_fields(fields: Mapping[str, object]) -> tuple[str | None, dict[str, object], str]:
    """As :func:`describe_row`, of an object in JSON; the field is empty where no caption is."""
    caption, attributes = split_caption(fields)
    if caption is None or not caption.strip():
        for name, value in fields.items():
            nested = nested_caption(name, value)
            if nested:
                return nested, attributes, name
    return caption, attributes, "" if caption is None else caption_fields(fields)[0]


def nested_caption(name: str, cell: object) -> str | None:
    """The caption in a struct of facts, or the answer of a conversation; None of other fields."""
    if _folded(str(name)) not in _NESTED:
        return None
    value = _parsed(cell.strip()) if isinstance(cell, str) and cell[:1] in ("{", "[") else cell
    if isinstance(value, Mapping):
        found = split_caption(value)[0]
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        found = next(_answers(value), None)
    else:
        return None
    return found if found and found.strip() else None


def _answers(turns: Sequence[object]) -> Iterator[str]:
    """What the model says in a conversation: text, or parts of which some are text."""
    for turn in turns:
        if isinstance(turn, Mapping):
            said = turn.get("assistant")  # a question and its answer in one object
            if turn.get("from", turn.get("role")) in _ANSWERERS:
                said = turn.get("value", turn.get("content"))
            yield from caption_texts(said)[:1]


def _has_bytes(value: object) -> bool:
    if isinstance(value, str):
        return len(value) >= _MIN_BASE64_CHARS and isinstance(_embedded(value), bytes)
    if value is None or isinstance(value, int | float):
        return False
    if isinstance(value, Mapping):
        return "bytes" in value or any(_has_bytes(item) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return any(_has_bytes(item) for item in value[:4])
    return isinstance(value, bytes)


def _embedded(text: str) -> bytes | None:
    url = _DATA_URL.match(text)
    return _decoded(text) if url or text.startswith(_BASE64_STARTS) else None


def looks_headless(cells: Sequence[str]) -> bool:
    """Whether the first line of a csv file is a photo's row already, not the columns' names."""
    paths = [cell for cell in cells if has_image_suffix(cell.strip()) and "://" not in cell]
    return len(cells) == 2 and len(paths) == 1
