"""A look at a source: its records counted as they stream by, and all that is no record, too."""

import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence

from storage.canonical import decode_path, encode_path
from storage.errors import SourceError
from storage.locations import is_directory, join, normalised
from storage.records import SourceRecord
from storage.sources.base import (
    CAPTION_FILE,
    LeftOut,
    LeftOutSink,
    Source,
    SourceFormat,
    has_image_suffix,
)
from storage.sources.coco import CocoSource
from storage.sources.listing import Entry, Listing
from storage.sources.rows import TABLE_SUFFIXES
from storage.sources.summary import Counted, SourceSummary, shown_path
from storage.sources.table import TableSource
from storage.sources.tars import TarSource

_ROW = re.compile(r"#|\?row=")  # row and member, in a URI
N_EXAMPLES = 5
_N_LEFT_OUT_EXAMPLES = 3
_OTHER_LAYOUTS = (*TABLE_SUFFIXES, ".tar", ".json", ".txt", ".caption")


class Tally:
    """Counts one listing of a source while somebody else uses its records."""

    def __init__(
        self, source: Source, *places: str | None, left_out: LeftOutSink | None = None
    ) -> None:
        """``places`` are what the user named: all that lies in such a folder is counted.

        ``left_out`` takes what is counted as no record, too.
        """
        self._source = source
        self._sink = left_out
        self._places = tuple(normalised(place) for place in places if place is not None)
        self._n_records = self._n_used = 0
        self._captions: Counter[str] = Counter()
        self._examples: list[SourceRecord] = []
        self._n_left_out: Counter[str] = Counter()
        self._such: dict[str, list[str]] = {}
        self._seen = None if source.format == "folder" else _Seen(source)

    def records(self, *, tags: bool = True) -> Iterator[SourceRecord]:
        """The source's records, each counted before it is handed on; errors as of the source.

        After the last one, or where the listing fails, the folders that the user named are walked
        for what no table, tar or json spoke of.
        """
        try:
            for record in self._source.records(left_out=self._left_out, tags=tags):
                self._count(record)
                yield record
        except SourceError:
            self._take_rest()
            raise
        self._take_rest()

    def _count(self, record: SourceRecord) -> None:
        self._n_records += 1
        if record.caption is not None and record.caption.strip():
            self._captions[record.caption_from] += 1
        if len(self._examples) < N_EXAMPLES or record.key < self._examples[-1].key:
            drawn = sorted([*self._examples, record], key=lambda each: each.key)
            self._examples = drawn[:N_EXAMPLES]
        if self._seen is not None:
            self._seen.add(record.uri)

    def _take_rest(self) -> None:
        if self._seen is not None:
            for thing in self._seen.rest(self._places):
                self._left_out(thing)
            self._seen = None

    def _left_out(self, thing: LeftOut) -> None:
        if self._sink is not None:
            self._sink(thing)
        if self._seen is not None:
            self._seen.add(thing.uri)
        if thing.reason == CAPTION_FILE:
            self._n_used += 1
            return
        self._n_left_out[thing.reason] += 1
        such = self._such.setdefault(thing.reason, [])
        if len(such) < _N_LEFT_OUT_EXAMPLES:
            such.append(shown_path(thing.uri) + (f": {thing.detail}" if thing.detail else ""))

    def summary(self, *, error: str = "") -> SourceSummary:
        """What was counted."""
        return SourceSummary(
            root=self._source.root,
            format=self._source.format,
            lists=_lists(self._source),
            n_records=self._n_records,
            captions=dict(self._captions),
            examples=tuple(self._examples),
            n_used=self._n_used,
            left_out={
                reason: Counted(n=n, examples=tuple(self._such[reason]))
                for reason, n in self._n_left_out.items()
            },
            error=error,
        )


def look(source: Source, *places: str | None) -> SourceSummary:
    """List a source without opening a photo; a listing that fails says so in the summary."""
    tally = Tally(source, *places)
    try:
        for _ in tally.records(tags=False):
            pass
    except SourceError as error:
        return tally.summary(error=str(error))
    return tally.summary()


class _Seen:
    """The files that a listing by lists (tables, tars, json) spoke of, and those it did not."""

    def __init__(self, source: Source) -> None:
        self._format: SourceFormat = source.format
        self._root = source.root
        self._roots = {source.root, _photo_root(source)}
        listed = isinstance(source, CocoSource | TableSource | TarSource)
        self._follow_links = listed and source.follow_links
        self._lists = [
            name if "://" in name or os.path.isabs(name) else join(source.root, name)
            for name in _lists(source)
        ]
        # On disk, so that memory stays flat.
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE seen (path BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, uri: str) -> None:
        """The file of a URI, by the photos' root as by the lists'; a row or a member is none."""
        if not _ROW.search(uri):
            path = decode_path(uri.partition("?")[0])
            self._remember([join(root, path) for root in self._roots])

    def rest(self, places: Sequence[str]) -> Iterator[LeftOut]:
        """What lies in the places and nothing spoke of; the lists themselves are of use."""
        for name in self._lists:
            if self._format != "webdataset" and not self._knows(name):
                below = name.removeprefix(f"{self._root.rstrip('/')}/")
                path = below if below != name else name.rpartition("/")[2]
                yield LeftOut(uri=encode_path(path), reason=CAPTION_FILE)
        self._remember(self._lists)
        for place in places:
            if is_directory(place):
                yield from self._below(place)

    def _below(self, place: str) -> Iterator[LeftOut]:
        told: list[LeftOut] = []
        listing = Listing(
            place, skip_unlisted=True, follow_links=self._follow_links, left_out=told.append
        )
        for entry in listing.files():
            yield from self._new(place, told)
            thing = LeftOut(uri=encode_path(entry.path), reason=self._reason(entry))
            yield from self._new(place, [thing])
        yield from self._new(place, told)

    def _new(self, place: str, things: list[LeftOut]) -> Iterator[LeftOut]:
        """Those of some things that nothing spoke of; they are spoken of now."""
        for thing in things:
            path = join(place, decode_path(thing.uri))
            if not self._knows(path):
                self._remember([path])
                yield thing
        things.clear()

    def _reason(self, entry: Entry) -> str:
        name = entry.name
        if entry.is_dead:
            return "dead_link"
        if has_image_suffix(name):
            return "other_layout" if self._format == "webdataset" else "not_named"
        return "other_layout" if name.lower().endswith(_OTHER_LAYOUTS) else "unknown_ending"

    def _remember(self, paths: Sequence[str]) -> None:
        rows = ((os.fsencode(path),) for path in paths)
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?)", rows)

    def _knows(self, path: str) -> bool:
        query = "SELECT 1 FROM seen WHERE path = ?"
        return self._database.execute(query, (os.fsencode(path),)).fetchone() is not None


def _photo_root(source: Source) -> str:
    return source.images or source.root if isinstance(source, TableSource) else source.root


def _lists(source: Source) -> tuple[str, ...]:
    if isinstance(source, TableSource):
        return source.tables
    if isinstance(source, TarSource):
        return source.tars
    return source.captions if isinstance(source, CocoSource) else ()
