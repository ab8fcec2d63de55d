"""A folder of photos, with captions in sidecar files or in one metadata file."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Literal

from storage.canonical import encode_path
from storage.content_tags import TagCache
from storage.errors import SourceError
from storage.locations import join
from storage.records import SourceRecord
from storage.sources.base import (
    CAPTION_FILE,
    IMAGE_SUFFIXES,
    Contents,
    LeftOut,
    LeftOutSink,
    make_record,
)
from storage.sources.columns import describe_fields
from storage.sources.elsewhere import Elsewhere
from storage.sources.files import read_photos, tag_cache, tag_file
from storage.sources.listing import Entry, Listing
from storage.sources.metadata import METADATA_NAMES, MetadataTable, is_metadata_name
from storage.sources.rows import TABLE_SUFFIXES, parse_object
from storage.sources.sidecars import Described, Sidecars, is_sidecar_name
from storage.sources.twin_folders import TwinFolders

_OTHER_LAYOUTS = (*TABLE_SUFFIXES, ".tar")


@dataclass(frozen=True, slots=True)
class FolderSource:
    """Every file with an image suffix below ``root``, in order of the path's bytes."""

    root: str
    skip_unlisted: bool = False  # folders that cannot be listed are left out: no error
    follow_links: bool = False  # also those that lead out of the root
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
        listing = Listing(
            self.root,
            skip_unlisted=self.skip_unlisted,
            follow_links=self.follow_links,
            left_out=left_out,
        )
        twins = TwinFolders(self.root, follow_links=self.follow_links, left_out=left_out)
        with tag_cache(tags=tags) as cache, closing(twins):
            walk = _Walk(source=self, listing=listing, cache=cache, left_out=left_out, twins=twins)
            for record in walk.records(_Place()):
                empty = False
                yield record
        self._unlisted[:] = listing.unlisted
        if empty:
            raise SourceError(_why_empty(self.root, walk.endings, listing))
        listing.warn()

    def read(self, records: Sequence[SourceRecord]) -> Contents:
        """The photos' bytes, in the order given."""
        return read_photos(self.root, records, follow_links=self.follow_links)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A folder on the way, and what the folders above it say about its photos."""

    path: str = ""  # below the root
    ancestors: tuple[str, ...] = ()  # real paths
    tables: tuple[MetadataTable, ...] = ()  # the nearest first
    above: Elsewhere | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """One listing of a folder source: the records, and what becomes of every other file."""

    source: FolderSource
    listing: Listing
    cache: TagCache | None
    left_out: LeftOutSink | None
    twins: TwinFolders
    endings: Counter[str] = field(default_factory=Counter[str])  # of files that are no photos

    def records(self, place: _Place) -> Iterator[SourceRecord]:
        ancestors = self.listing.below(place.ancestors, place.path)
        entries = self.listing.entries(place.path, ancestors=ancestors)
        sidecars = Sidecars(self.source.root, entries, follow_links=self.source.follow_links)
        used: set[str] = set()
        with ExitStack() as stack:
            tables = place.tables
            for entry in _metadata_files(entries):
                table = MetadataTable(
                    join(self.source.root, entry.path), path=entry.path, left_out=self.left_out
                )
                tables = (stack.enter_context(closing(table)), *tables)
                used.add(entry.path)
            elsewhere = self._elsewhere(place, entries, sidecars)
            stack.enter_context(closing(elsewhere))
            for entry in entries:
                if entry.is_directory:
                    below = _Place(
                        path=entry.path,
                        ancestors=ancestors,
                        tables=tables,
                        above=elsewhere,
                    )
                    yield from self.records(below)
                elif entry.name in sidecars.photos:
                    beside = sidecars.of(entry.name)
                    used.update(beside.values())
                    described = _from_tables(entry.path, tables)
                    sidecars.describe(beside, described)
                    if not described.is_said:
                        elsewhere.describe(entry, described)
                    yield self._record(entry, described)
        used |= elsewhere.used
        for entry in entries:
            if not (entry.is_directory or entry.name in sidecars.photos):
                self._leave(entry, used)

    def _elsewhere(self, place: _Place, entries: Sequence[Entry], sidecars: Sidecars) -> Elsewhere:
        return Elsewhere(
            self.twins, place.path, entries, sidecars, above=place.above, left_out=self.left_out
        )

    def _record(self, entry: Entry, described: Described) -> SourceRecord:
        return make_record(
            encode_path(entry.path),
            caption=described.caption,
            attributes=described.attributes,
            content_tag=tag_file(
                self.source.root,
                entry.path,
                cache=self.cache,
                etag=entry.etag,
                follow_links=self.source.follow_links,
            ),
            caption_from=described.caption_from,
        )

    def _leave(self, entry: Entry, used: set[str]) -> None:
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.path in used:
            reason = CAPTION_FILE
        elif entry.is_dead:
            reason = "dead_link"
        elif is_sidecar_name(entry.name):
            if self.twins.waits(entry.path):
                return
            reason = "no_photo"
        else:
            reason = "other_layout" if suffix in _OTHER_LAYOUTS else "unknown_ending"
            self.endings[suffix or "none"] += 1
        if self.left_out is not None:
            self.left_out(LeftOut(uri=encode_path(entry.path), reason=reason))


def _metadata_files(entries: Sequence[Entry]) -> list[Entry]:
    """Those of one folder, so that the last one speaks first."""
    found = [entry for entry in entries if not entry.is_directory and is_metadata_name(entry.name)]
    return sorted(found, key=lambda entry: METADATA_NAMES.index(entry.name.lower()))


def _from_tables(path: str, tables: Sequence[MetadataTable]) -> Described:
    """The row of the nearest table that has one; the photo's rows in the others are not lost."""
    described = Described()
    for table in reversed(tables):
        folder = table.path.rpartition("/")[0]
        fields = table.find(path[len(folder) + 1 :] if folder else path)
        row = parse_object(fields.encode()) if fields is not None else None
        if isinstance(row, dict):
            caption, rest, name = describe_fields(row)
            where = f"{table.path.rpartition('/')[2]}: {name}"
            described = Described(attributes=rest)
            described.say(caption, where)
    return described


def _why_empty(root: str, endings: Counter[str], listing: Listing) -> str:
    text = (
        f"no photos in {root}: expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))} "
        "(any case, subfolders too, hidden ones not)"
    )
    if endings:
        found = ", ".join(f"{n} ending in {suffix}" for suffix, n in endings.most_common(5))
        text += f"; got {found}"
    return f"{text}; got {listing.summary()}" if listing.summary() else text
