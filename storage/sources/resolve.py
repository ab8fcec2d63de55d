"""From a URI to a source: which of the four kinds it is, and where its photos start."""

import logging
import os
from collections.abc import Iterator
from typing import Literal

from storage.errors import SourceError
from storage.locations import exists, is_directory, normalised
from storage.records import SourceRecord
from storage.sources.base import LeftOutSink, Source, SourceFormat, has_image_suffix
from storage.sources.coco import coco_source, find_captions
from storage.sources.folder import FolderSource
from storage.sources.listing import names_of
from storage.sources.table import find_tables, table_source
from storage.sources.tars import is_tar_name, tar_source

logger = logging.getLogger(__name__)

_FORMAT_OF_SUFFIX: dict[str, SourceFormat] = {
    ".tar": "webdataset",
    ".json": "coco",
    ".parquet": "table",
    ".csv": "table",
    ".jsonl": "table",
}


def resolve_source(
    uri: str,
    *,
    format: Literal["auto"] | SourceFormat = "auto",  # noqa: A002  the public name
    images: str | None = None,
    skip_unlisted: bool = False,
) -> Source:
    """The source behind a local path or fsspec URL; it is not listed yet.

    ``images`` is the folder of the photos where they do not lie beside a COCO json or a table.
    ``skip_unlisted`` leaves out the subfolders of a folder that cannot be listed, instead of ending
    with an error; the source's ``unlisted`` names them.

    Raises:
        SourceError: nothing is there, or it is not what ``format`` says.
        ValueError: ``format`` is unknown, or ``images`` is given for a kind that has none.
    """
    place = normalised(uri)
    photos = normalised(images) if images is not None else None
    for wanted in (place, photos):
        if wanted is not None and not _there(wanted):
            raise SourceError(f"source not found: {wanted} (a local path or an fsspec URL)")
    kind = _detect(place) if format == "auto" else format
    logger.info("source %s is read as %s", place, kind)
    if photos is not None and kind not in ("coco", "table"):
        raise ValueError(f"images={images!r} is for COCO and table sources; {place} is a {kind}")
    if kind == "coco":
        return coco_source(place, images=photos)
    if kind == "table":
        return table_source(place, images=photos)
    if kind == "webdataset":
        return tar_source(place)
    if kind == "folder":
        if not is_directory(place):
            raise SourceError(f"{place}: expected a folder of photos, got a file")
        return FolderSource(place, skip_unlisted=skip_unlisted)
    raise ValueError(f"format must be auto, folder, table, webdataset or coco, got {kind!r}")


def open_source(
    uri: str,
    *,
    format: Literal["auto"] | SourceFormat = "auto",  # noqa: A002  the public name
    images: str | None = None,
    left_out: LeftOutSink | None = None,
) -> Iterator[SourceRecord]:
    """The records of a source, in path order, streaming; errors as in :func:`resolve_source`.

    Raises:
        SourceError: the source is empty, or cannot be read as a whole.
    """
    return resolve_source(uri, format=format, images=images).records(left_out=left_out)


def _there(place: str) -> bool:
    try:
        return exists(place)
    except Exception as error:  # unknown protocol, missing client library, no network
        raise SourceError(f"{place}: cannot be opened: {error}") from error


def _detect(place: str) -> SourceFormat:
    if not is_directory(place):
        kind = _FORMAT_OF_SUFFIX.get(os.path.splitext(place)[1].lower())
        if kind is None:
            raise SourceError(
                f"{place}: expected a folder, or a file ending in {', '.join(_FORMAT_OF_SUFFIX)}"
            )
        return kind
    if find_captions(place):
        return "coco"
    names = names_of(place)
    if any(has_image_suffix(name) for name in names):
        return "folder"
    if any(is_tar_name(name) for name in names):
        return "webdataset"
    return "table" if find_tables(place) else "folder"
