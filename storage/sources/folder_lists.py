"""Lists of captions that lie in a folder with its photos, as DiffusionDB's parts have them.

They are looked for when a photo has no other caption, and read once; what they name counts from
their folder on.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from storage.canonical import encode_path
from storage.locations import join
from storage.sources.annotation_files import lists_among, read_small
from storage.sources.annotation_shapes import NamedPhoto
from storage.sources.base import LeftOut, LeftOutSink
from storage.sources.listing import Entry
from storage.sources.names import PhotoNames, SpellingIndex
from storage.sources.sidecars import Described, Sidecars


@dataclass(slots=True)
class _List:
    """One file: its photos, and which of them are there."""

    path: str
    photos: Mapping[str, NamedPhoto]
    index: SpellingIndex
    broken: list[tuple[int, str]]
    matched: set[str] = field(default_factory=set[str])

    def find(self, path: str) -> str | None:
        """The name that means a photo: its path below the list's folder, or that without ending."""
        return self.index.find(path) or self.index.find(os.path.splitext(path)[0])


class FolderLists:
    """The lists in one folder, below a root."""

    def __init__(
        self,
        root: str,
        folder: str,
        entries: Sequence[Entry],
        sidecars: Sidecars,
        *,
        left_out: LeftOutSink | None,
    ) -> None:
        self._root = root
        self._folder = folder
        self._entries = entries
        self._sidecars = sidecars
        self._left_out = left_out
        self._lists: list[_List] | None = None

    def describe(self, path: str, described: Described) -> None:
        """Add what the lists say about a photo; ``path`` is below the root."""
        inner = path[len(self._folder) + 1 :] if self._folder else path
        for each in self._read():
            name = each.find(inner)
            photo = each.photos[name] if name is not None else NamedPhoto()
            if name is not None and photo.texts and photo.texts[0].strip():
                each.matched.add(name)
                others = {"other_captions": photo.texts[1:]} if photo.texts[1:] else {}
                described.attributes |= photo.attributes | others
                where = each.path.rpartition("/")[2]
                field_name = f": {photo.caption_from}" if photo.caption_from else ""
                described.say(photo.texts[0], f"{where}{field_name}")
                return

    @property
    def used(self) -> set[str]:
        """The paths of the files that gave captions."""
        return {each.path for each in self._lists or () if each.matched}

    def close(self) -> None:
        """Say which entries of those files named no photo, or could not be read."""
        if not self._lists or self._left_out is None:
            return  # as in most folders
        there = PhotoNames(join(self._root, self._folder) if self._folder else self._root)
        for each in self._lists:
            if each.matched:
                for number, reason, detail in _rest(each, there):
                    uri = f"{encode_path(each.path)}?row={number}"
                    self._left_out(LeftOut(uri=uri, reason=reason, detail=detail))

    def _read(self) -> list[_List]:
        if self._lists is None:
            self._lists = []
            photos, stems = self._sidecars.photos, self._sidecars.stems
            others = (e.name for e in self._entries if not (e.is_directory or e.name in photos))
            for name in lists_among(others, photos | stems):
                path = f"{self._folder}/{name}" if self._folder else name
                broken: list[tuple[int, str]] = []
                uri = join(self._root, path)
                found = read_small(uri, on_broken=partial(_note, broken))
                named = {self._inside(name): photo for name, photo in found.items()}
                if named:
                    self._lists.append(_List(path, named, SpellingIndex(named), broken))
        return self._lists

    def _inside(self, name: str) -> str:
        """A name below the folder: without what is above it, also on another machine."""
        plain = name.replace("\\", "/").removeprefix("./")
        own = f"/{(self._folder or self._root).rstrip('/').rpartition('/')[2]}/"
        absolute = plain.startswith("/") or plain[1:3] == ":/"
        return plain.rpartition(own)[2] if absolute and own in plain else plain


def _note(broken: list[tuple[int, str]], number: int, detail: str) -> None:
    broken.append((number, detail))


def _rest(each: _List, there: PhotoNames) -> Iterator[tuple[int, str, str]]:
    broken = dict(each.broken)
    yield from ((number, "broken_row", detail) for number, detail in broken.items())
    numbers = (n for n in range(len(each.photos) + len(broken)) if n not in broken)
    for number, name in zip(numbers, each.photos, strict=False):
        if name not in each.matched and there.lookup_photo(name) is None:
            yield number, "no_photo", name
