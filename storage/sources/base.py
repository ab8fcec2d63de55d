"""What every source of captioned photos is: records in path order, and their bytes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from storage.canonical import key_of, plain_json, valid_text
from storage.records import SourceRecord

SourceFormat = Literal["folder", "table", "webdataset", "coco"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".gif"})
MAX_IMAGE_BYTES = 256 * 2**20
"""Larger files are not read: no photo of 64 megapixels is, and a worker would die of it."""

_CAPTION_FIELDS = ("caption", "text")


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Why the bytes of one record could not be had."""

    detail: str


Contents = Iterator[tuple[SourceRecord, bytes | ReadFailure]]
"""Records with the bytes of their photos, in the order asked for."""


class Source(Protocol):
    """A place with captioned photos; pickles, so that workers can read from it."""

    @property
    def root(self) -> str:
        """Where the records' URIs start."""
        ...

    @property
    def format(self) -> SourceFormat:
        """Which of the four kinds it is."""
        ...

    @property
    def unlisted(self) -> tuple[str, ...]:
        """Folders below the root that the last whole listing left out, for it could not list them.

        Percent-encoded as URIs; empty unless the source was told to skip such folders.
        """
        ...

    def records(self) -> Iterator[SourceRecord]:
        """All records in path order, streaming. SourceError where there is none."""
        ...

    def read(self, records: Sequence[SourceRecord]) -> Contents:
        """The records' bytes, in the order given; one that fails is a ReadFailure."""
        ...


def without_root(error: Exception, root: str) -> str:
    """What an error says, without the root's path: the text ends up in shards."""
    reason = error.strerror if isinstance(error, OSError) else None
    text = (reason or str(error)).replace(f"{root.rstrip('/')}/", "")
    return f"{type(error).__name__}: {text.replace(root.partition('://')[2] or root, '')}"


def has_image_suffix(name: str) -> bool:
    """Whether a file name ends like a photo, in any case."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def make_record(
    uri: str, *, caption: object, attributes: Mapping[str, object], content_tag: str
) -> SourceRecord:
    """A record whose key follows from its URI and whose attributes are plain JSON."""
    plain = plain_json(attributes)
    return SourceRecord(
        key=key_of(uri),
        uri=uri,
        caption=valid_text(caption) if isinstance(caption, str) else None,
        attributes=plain if isinstance(plain, dict) else {},
        content_tag=content_tag,
    )


def split_caption(fields: Mapping[str, object]) -> tuple[str | None, dict[str, object]]:
    """The caption of a JSON object or table row, and everything else as attributes.

    Where the caption is a list, its first text is the caption and the others are kept.
    """
    rest = {str(name): value for name, value in fields.items() if name not in _CAPTION_FIELDS}
    for name in _CAPTION_FIELDS:
        value = fields.get(name)
        if isinstance(value, str):
            return value, rest
        if isinstance(value, Sequence):
            texts = [text for text in value if isinstance(text, str)]
            if texts:
                return texts[0], rest | ({"other_captions": texts[1:]} if texts[1:] else {})
    return None, rest
