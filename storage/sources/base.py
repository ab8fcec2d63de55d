"""What every source of captioned photos is: records in path order, and their bytes."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from storage.canonical import key_of, plain_json, valid_text
from storage.records import SourceRecord

SourceFormat = Literal["folder", "table", "webdataset", "coco"]

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".pjpeg", ".pjp", ".png", ".apng", ".webp",
    ".bmp", ".dib", ".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".hif", ".jxl",
})  # fmt: skip
"""Endings of photos, in any case. What a photo is decides its content: see ``priors.decode``."""

MAX_IMAGE_BYTES = 256 * 2**20
"""Larger files are not read: no photo of 64 megapixels is, and a worker would die of it."""


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Why the bytes of one record could not be had."""

    detail: str


UNTAGGED = "untagged"
"""The content tag of every record of a listing that was to open no photo."""

CAPTION_FILE = "caption_file"
LEFT_OUT_REASONS: Mapping[str, str] = {
    CAPTION_FILE: "used: gives captions to photos, or is the list that names them",
    "unknown_ending": "no ending of a photo, a caption file or a table; rename or convert it",
    "hidden": "its name, or a folder's above it, begins with a dot; rename it",
    "link_outside": "a link out of the source's root; --follow-links reads it",
    "link_loop": "a link to a folder above itself; its photos are listed where they lie",
    "dead_link": "a link to something that cannot be found; restore what it names, or delete it",
    "not_a_file": "neither a file nor a folder (a pipe, a socket, a device); copy its data",
    "unlistable": "a folder that cannot be listed (left out by --skip-unlisted); make it readable",
    "no_photo": "a row, an annotation or a caption file whose photo is not there; check its name",
    "no_words": "lies in a folder of captions under a photo's name, but is none: boxes, numbers, "
    "another program's JSON, or nothing; write the caption into it",
    "not_named": "a photo that no row and no annotation names; --format folder takes it all the "
    "same",
    "repeated": "names photos that another row or table has named; give one file as the source",
    "other_layout": "another layout than the one the source is read as; give it as a source of its "
    "own, or choose with --format",
    "broken_row": "a row that cannot be read; mend it",
    "other_member": "a member of a tar's sample that is neither its photo nor its caption, such as "
    "a mask; name the photo <stem>.jpg if this is it",
    "broken_end": "stands where a tar breaks off; fetch the tar again",
    "no_columns": "a table without a column of photos or of captions, such as img2dataset's lists; "
    "name them by --image-column and --caption-column if it is one",
    "empty": "a tar or table without any sample or row; delete it, or fetch it again",
}
"""Why a file, row or member of a source is no record: a sentence, and what would change it.

The first is no loss: it tells the files that are used. A reader may add reasons of its own here.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A file, row or member of a source that is no record, and why."""

    uri: str  # as in SourceRecord.uri; a row of a table "<table>?row=<number>"
    reason: str  # of LEFT_OUT_REASONS
    detail: str = ""

    def __post_init__(self) -> None:
        if self.reason not in LEFT_OUT_REASONS:
            raise ValueError(
                f"LeftOut.reason must be one of {', '.join(LEFT_OUT_REASONS)}, got {self.reason!r}"
            )


LeftOutSink = Callable[[LeftOut], None]
"""Takes what a listing leaves out, once for each file, row or member, in any order."""

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

    def records(
        self, *, left_out: LeftOutSink | None = None, tags: bool = True
    ) -> Iterator[SourceRecord]:
        """All records in path order, streaming.

        Args:
            left_out: takes every file, row and member that is no record, in the course of the
                listing. A row and the photo that it names are one thing; a file that gives
                captions, or a table, is left out as ``caption_file``.
            tags: False for a look at a source: no photo is opened, and every content tag is
                ``UNTAGGED``.

        Raises:
            SourceError: there is no record, or the source cannot be read as a whole.
        """
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
    uri: str,
    *,
    caption: object,
    attributes: Mapping[str, object],
    content_tag: str,
    caption_from: str = "",
) -> SourceRecord:
    """A record whose key follows from its URI and whose attributes are plain JSON."""
    plain = plain_json(attributes)
    return SourceRecord(
        key=key_of(uri),
        uri=uri,
        caption=valid_text(caption) if isinstance(caption, str) else None,
        attributes=plain if isinstance(plain, dict) else {},
        content_tag=content_tag,
        caption_from=caption_from,
    )
