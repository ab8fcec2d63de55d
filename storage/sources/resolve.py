"""From a URI to a source: which of the four kinds it is, and where its photos start."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from storage.errors import SourceError
from storage.locations import exists, is_directory, normalised
from storage.records import SourceRecord
from storage.sources.annotation_files import find_captions
from storage.sources.annotations import LIST_SUFFIXES
from storage.sources.base import LeftOutSink, Source, SourceFormat
from storage.sources.coco import coco_source
from storage.sources.columns import BY_NAME, NamedColumns
from storage.sources.containers import folder_format, is_tar_name
from storage.sources.folder import FolderSource
from storage.sources.patterns import is_pattern, pattern_names
from storage.sources.report import Tally
from storage.sources.rows import TABLE_SUFFIXES, begins_list, table_kind
from storage.sources.table import TableSource, table_source
from storage.sources.tars import TarSource, tar_source

logger = logging.getLogger(__name__)

_FILES = f".tar (packed, too), {', '.join(LIST_SUFFIXES)}, " + ", ".join(TABLE_SUFFIXES)


def resolve_source(
    uri: str,
    *,
    format: Literal["auto"] | SourceFormat = "auto",  # noqa: A002  the public name
    images: str | None = None,
    skip_unlisted: bool = False,
    follow_links: bool = False,
    columns: NamedColumns = BY_NAME,
) -> Source:
    """The source behind a local path or fsspec URL; it is not listed yet.

    ``images`` is the folder of the photos where they do not lie beside a COCO json or a table.
    ``skip_unlisted`` leaves out the subfolders of a folder that cannot be listed, instead of ending
    with an error; the source's ``unlisted`` names them. ``follow_links`` reads what links out of
    the source's root lead to. ``columns`` are those of a table whose names are not known; a source
    for which they are given is a table.

    Raises:
        SourceError: nothing is there, or it is not what ``format`` says.
        ValueError: ``format`` is unknown, or ``images`` is given for a kind that has none.
    """
    place = normalised(uri)
    if is_pattern(place) and not _there(place):
        source = _pattern_source(place, format=format, images=images, follow_links=follow_links)
        return _with_columns(source, columns)
    photos = normalised(images) if images is not None else None
    for wanted in (place, photos):
        if wanted is not None and not _there(wanted):
            raise SourceError(f"source not found: {wanted} (a local path or an fsspec URL)")
    found = "table" if columns != BY_NAME else None
    kind = (found or _detect(place, follow_links=follow_links)) if format == "auto" else format
    logger.info("source %s is read as %s", place, kind)
    if photos is not None and kind not in ("coco", "table"):
        raise ValueError(f"images={images!r} is for COCO and table sources; {place} is a {kind}")
    if kind == "table":
        source = table_source(place, images=photos, follow_links=follow_links)
        return _with_columns(source, columns)
    _refuse_columns(columns, place, kind)
    if kind == "coco":
        return coco_source(place, images=photos, follow_links=follow_links)
    if kind == "webdataset":
        return tar_source(place, follow_links=follow_links)
    if kind == "folder":
        if not is_directory(place):
            raise SourceError(f"{place}: expected a folder of photos, got a file")
        return FolderSource(place, skip_unlisted=skip_unlisted, follow_links=follow_links)
    raise ValueError(f"format must be auto, folder, table, webdataset or coco, got {kind!r}")


def open_source(
    uri: str,
    *,
    format: Literal["auto"] | SourceFormat = "auto",  # noqa: A002  the public name
    images: str | None = None,
    left_out: LeftOutSink | None = None,
) -> Iterator[SourceRecord]:
    """The records of a source, in path order, streaming; errors as in :func:`resolve_source`.

    ``left_out`` takes every file, row and member there that is no record, and why; a caption file
    or a table as ``caption_file``.

    Raises:
        SourceError: the source is empty, or cannot be read as a whole.
    """
    source = resolve_source(uri, format=format, images=images)
    return Tally(source, uri, images, left_out=left_out).records() if left_out else source.records()


def _with_columns(source: Source, columns: NamedColumns) -> Source:
    if isinstance(source, TableSource):
        return replace(source, columns=columns)
    _refuse_columns(columns, source.root, source.format)
    return source


def _refuse_columns(columns: NamedColumns, place: str, kind: str) -> None:
    if columns != BY_NAME:
        raise ValueError(
            f"--image-column and --caption-column ({columns.image!r}, {columns.caption!r}) are for "
            f"tables; {place} is a {kind}"
        )


def _there(place: str) -> bool:
    try:
        return exists(place)
    except Exception as error:  # unknown protocol, missing client library, no network
        raise SourceError(f"{place}: cannot be opened: {error}") from error


def _detect(place: str, *, follow_links: bool) -> SourceFormat:
    if is_directory(place):
        return "coco" if find_captions(place) else folder_format(place, follow_links=follow_links)
    if is_tar_name(place):
        return "webdataset"
    kind = table_kind(place)
    if kind == "json":
        return "table" if begins_list(place) else "coco"
    if place.lower().endswith(LIST_SUFFIXES):
        return "coco"
    if kind is None:
        raise SourceError(f"{place}: expected a folder, or a file ending in {_FILES}")
    return "table"


def _pattern_source(
    pattern: str,
    *,
    format: Literal["auto"] | SourceFormat,  # noqa: A002  the public name
    images: str | None,
    follow_links: bool,
) -> Source:
    """The tars or tables that a pattern names, in its order."""
    root, names = pattern_names(pattern)
    photos = normalised(images) if images is not None else None
    if format in ("auto", "webdataset") and all(is_tar_name(name) for name in names):
        if photos is not None:
            raise ValueError(f"images={images!r} is for COCO and table sources; {pattern} are tars")
        return TarSource(root=root, tars=tuple(names))
    if format in ("auto", "table") and all(table_kind(name) for name in names):
        return TableSource(root=root, tables=tuple(names), images=photos, follow_links=follow_links)
    strange = [name for name in names if not is_tar_name(name) and not table_kind(name)]
    raise SourceError(
        f"{pattern}: expected a pattern of tars alone or of tables alone (format {format}), got "
        f"{len(names)} names, such as {(strange or names)[0]!r}; for photos and folders give the "
        "folder above"
    )
