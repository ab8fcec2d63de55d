"""Captions of many photos in one text file: a photo's name and its caption on each line.

Flickr's ``results.token`` (``1.jpg#0<tab>a man``), ``captions.txt`` as csv with a header or
without, and lists with a tab, a bar, a comma, a colon or a blank after the name.
"""

import re
from collections.abc import Iterable
from itertools import chain, islice

from storage.sources.annotation_shapes import Entries, NamedPhoto, OnBroken
from storage.sources.base import IMAGE_SUFFIXES, has_image_suffix
from storage.sources.captions import caption_fields, caption_texts
from storage.sources.columns import photo_columns, pick_photo
from storage.sources.csv_rows import BrokenRow, csv_dialect, csv_rows

_PEEKED_LINES = 50
_ENDINGS = "|".join(sorted((suffix[1:] for suffix in IMAGE_SUFFIXES), key=len, reverse=True))
_NAMED = re.compile(
    rf"""\s*(["']?)(?P<name>[^\t|,;"]{{1,1000}}?\.(?:{_ENDINGS}))(?:\#\w+)?\1"""
    r"(?:\s*[\t|,;:=]\s*|\s+(?:-+\s+)?)(?P<text>\S.*)",
    re.IGNORECASE | re.DOTALL,
)
_NAMED_LAST = re.compile(
    rf"\s*(?P<text>[^\t|]*\S)\s*[\t|]\s*(?P<name>[^\t|]{{1,1000}}\.(?:{_ENDINGS}))\s*",
    re.IGNORECASE,
)


def line_entries(lines: Iterable[str], on_broken: OnBroken) -> Entries:
    """The entries of such a file, in its order; further captions of a photo stand with the first.

    Raises:
        ValueError: it is none.
    """
    taken = iter(lines)
    head = list(islice(taken, _PEEKED_LINES))
    dialect = csv_dialect(head)
    if dialect and dialect.n_before and _has_both(dialect.columns):
        return _from_rows(chain(head, taken), on_broken)
    filled = [line for line in head if line.strip("\ufeff \t\r\n")]
    n_named = sum(_pair(line) is not None for line in filled)
    if not filled or n_named < 0.8 * len(filled):
        raise ValueError("its lines are not a photo's name and its caption")
    return _from_lines(chain(head, taken), on_broken)


def _has_both(columns: tuple[str, ...]) -> bool:
    return len(columns) > 1 and bool(photo_columns(columns)) and bool(caption_fields(columns))


def _from_rows(lines: Iterable[str], on_broken: OnBroken) -> Entries:
    for number, row in enumerate(csv_rows(lines)):
        if isinstance(row, BrokenRow):
            on_broken(number, row.detail)
            continue
        column, photo = pick_photo(row)
        if not isinstance(photo, str):
            on_broken(number, "it names no photo")
            continue
        rest = {name: cell for name, cell in row.items() if name != column}
        for name in caption_fields(rest)[:1]:
            texts = caption_texts(rest.pop(name))
            yield photo, NamedPhoto(texts=texts, attributes=rest, caption_from=f"column {name}")


def _from_lines(lines: Iterable[str], on_broken: OnBroken) -> Entries:
    for number, line in enumerate(lines):
        if line.strip("\ufeff \t\r\n"):
            pair = _pair(line)
            if pair is None:
                on_broken(number, "expected a photo's name and its caption")
            else:
                yield pair[0], NamedPhoto(texts=[pair[1]], caption_from="its lines")


def _pair(line: str) -> tuple[str, str] | None:
    """Name and caption of one line; None of another kind of line, such as of two paths."""
    plain = line.strip("\ufeff \t\r\n")
    found = _NAMED.fullmatch(plain) or _NAMED_LAST.fullmatch(plain)
    if found is None:
        return None
    text = _unquoted(found["text"])
    is_caption = any(map(str.isalpha, text)) and not _is_path(re.split(r"[\s#]", text)[0])
    return (found["name"].strip(), text) if is_caption and "://" not in found["name"] else None


def _is_path(text: str) -> bool:
    return has_image_suffix(text) or re.match(r"\w+://\S", text) is not None


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    return inner.replace('""', '"') if text[:1] == text[-1:] == '"' and len(text) > 1 else text
