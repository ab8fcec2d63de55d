"""A folder of photos, with captions in sidecar files or in one metadata file."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Literal

from storage.canonical import encode_path
from storage.content_tags import TagCache
from storage.errors import SourceError
from storage.locations import is_local, join
from storage.records import SourceRecord
from storage.sources.base import (
    IMAGE_SUFFIXES,
    Contents,
    LeftOutSink,
    ReadFailure,
    has_image_suffix,
    make_record,
)
from storage.sources.captions import split_caption
from storage.sources.files import read_photo, read_photos, tag_cache, tag_file
from storage.sources.listing import Entry, Listing
from storage.sources.metadata import METADATA_NAMES, MetadataTable
from storage.sources.rows import BrokenRow, parse_object

_SIDECARS = (".txt", ".json")
_MAX_CAPTION_BYTES = 2**20

Described = tuple[str | None, dict[str, object]]


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Every file with an image suffix below ``root``, in order of the path's bytes."""

    root: str
    skip_unlisted: bool = False  # folders that cannot be listed are left out: no error
    format: Literal["folder"] = "folder"
    _unlisted: list[str] = field(default_factory=list[str], init=False, repr=False, compare=False)

    @property
    def unlisted(self) -> tuple[str, ...]:
        """The folders that the last whole listing left out."""
        return tuple(self._unlisted)

    def records(
        self, *, left_out: LeftOutSink | None = None, tags: bool = True
    ) -> Iterator[SourceRecord]:
        """One record per photo.

        Raises:
            SourceError: no file with an image suffix; a metadata file that cannot be read; a
                folder that cannot be listed, unless it is to be skipped.
        """
        empty = True
        listing = Listing(self.root, skip_unlisted=self.skip_unlisted)
        with tag_cache(tags=tags) as cache:
            for record in self._walk("", (), (), (listing, cache)):
                empty = False
                yield record
        self._unlisted[:] = listing.unlisted
        listing.warn()
        if empty:
            raise SourceError(
                f"no photos in {self.root}: expected files ending in "
                f"{', '.join(sorted(IMAGE_SUFFIXES))} (any case, subfolders too, hidden ones not)"
            )

    def read(self, records: Sequence[SourceRecord]) -> Contents:
        """The photos' bytes, in the order given."""
        return read_photos(self.root, records)

    def _walk(
        self,
        path: str,
        ancestors: tuple[str, ...],
        tables: tuple[tuple[str, MetadataTable], ...],
        tools: tuple[Listing, TagCache | None],
    ) -> Iterator[SourceRecord]:
        listing, cache = tools
        if is_local(self.root):
            ancestors = (*ancestors, os.path.realpath(os.path.join(self.root, path)))
        entries = listing.entries(path, ancestors=ancestors)
        sidecars = _sidecars(entries)
        with ExitStack() as stack:
            for name in METADATA_NAMES:
                if any(entry.name == name and not entry.is_directory for entry in entries):
                    uri = join(self.root, path, name) if path else join(self.root, name)
                    table = stack.enter_context(closing(MetadataTable(uri)))
                    tables = ((path, table), *tables)
            for entry in entries:
                if entry.is_directory:
                    yield from self._walk(entry.path, ancestors, tables, tools)
                elif has_image_suffix(entry.name):
                    stem = os.path.splitext(entry.name)[0]
                    described = self._describe(entry, sidecars.get(stem, {}), tables)
                    yield make_record(
                        encode_path(entry.path),
                        caption=described[0],
                        attributes=described[1],
                        content_tag=tag_file(self.root, entry.path, cache=cache, etag=entry.etag),
                    )

    def _describe(
        self, entry: Entry, sidecars: dict[str, str], tables: tuple[tuple[str, MetadataTable], ...]
    ) -> Described:
        """Sidecars speak before metadata files, ``.txt`` before ``.json``, near before far."""
        caption, attributes = _from_tables(entry.path, tables)
        if ".json" in sidecars:
            described = self._from_json(sidecars[".json"])
            caption = described[0] if described[0] is not None else caption
            attributes |= described[1]
        if ".txt" in sidecars:
            data = read_photo(self.root, sidecars[".txt"])
            if isinstance(data, ReadFailure):
                attributes["caption_error"] = f"{sidecars['.txt']}: {data.detail}"
            else:
                # A wrong byte becomes U+FFFD, which the caption check can see and name.
                text = data[:_MAX_CAPTION_BYTES].decode("utf-8-sig", errors="replace")
                caption = text.strip()
        return caption, attributes

    def _from_json(self, path: str) -> Described:
        data = read_photo(self.root, path)
        if isinstance(data, ReadFailure):
            fields = BrokenRow(data.detail)
        elif len(data) > _MAX_CAPTION_BYTES:
            fields = BrokenRow(f"{len(data)} bytes, more than {_MAX_CAPTION_BYTES}")
        else:
            fields = parse_object(data)
        if isinstance(fields, BrokenRow):
            return None, {"caption_error": f"{path}: {fields.detail}"}
        return split_caption(fields)


def _sidecars(entries: Sequence[Entry]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for entry in entries:
        stem, suffix = os.path.splitext(entry.name)
        if not entry.is_directory and suffix.lower() in _SIDECARS:
            found.setdefault(stem, {}).setdefault(suffix.lower(), entry.path)
    return found


def _from_tables(path: str, tables: tuple[tuple[str, MetadataTable], ...]) -> Described:
    for folder, table in tables:
        fields = table.find(path[len(folder) + 1 :] if folder else path)
        if fields is not None:
            row = parse_object(fields.encode())
            return split_caption(row) if isinstance(row, dict) else (None, {})
    return None, {}
