"""Captions in a folder of their own: ``images/a.jpg`` and ``captions/a.txt``, split folders, too.

A folder is taken for one of captions by its name. Below it a photo's captions lie where the photo
lies, without the folder that the photos have for themselves: ``captions/train/a.txt`` for
``images/train/a.jpg``, ``train/captions/a.txt`` for ``train/images/a.jpg``. They count for photos
without any other caption, and only with a letter in them: ``labels/`` may be of boxes.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storage.canonical import encode_path
from storage.locations import is_directory, join
from storage.sources.base import CAPTION_FILE, LeftOut, LeftOutSink
from storage.sources.captions import has_words
from storage.sources.folder_words import (
    CAPTION_FOLDERS,
    PHOTO_FOLDERS,
    is_captions_folder,
    is_other_part,
    is_photo_folder,
    words_of,
)
from storage.sources.listing import Entry, Listing
from storage.sources.sidecars import Described, Sidecars, is_sidecar_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A folder with folders of captions in it."""

    path: str
    captions: tuple[str, ...]  # names of those
    photos: tuple[str, ...]  # names of the others that may be of photos


class TwinFolders:
    """The folders of captions of one listing, and what becomes of the files in them."""

    def __init__(
        self, root: str, *, follow_links: bool = False, left_out: LeftOutSink | None = None
    ) -> None:
        self.root = root
        self._follow = follow_links
        self._left_out = left_out
        self._database: sqlite3.Connection | None = None

    def level(self, path: str, folders: Sequence[str]) -> Level | None:
        """What the names of the folders in a folder say; None where none is of captions."""
        captions = tuple(name for name in folders if is_captions_folder(name))
        if not captions:
            return None
        photos = (name for name in folders if name not in captions and not is_other_part(name))
        return Level(path=path, captions=captions, photos=tuple(photos))

    def of(
        self, path: str, photos: Sequence[Entry], levels: Sequence[Level]
    ) -> "TwinSidecars | None":
        """The caption files elsewhere of the photos in one folder; the nearest folder counts."""
        found: list[Entry] = []
        listing = Listing(self.root, skip_unlisted=True, follow_links=self._follow)
        for folder in dict.fromkeys(_candidates(path, levels)):
            if folder != path and is_directory(join(self.root, folder)):
                entries = listing.entries(folder)
                found += (e for e in entries if not e.is_directory and is_sidecar_name(e.name))
        if not found:
            return None
        return TwinSidecars(self, Sidecars(self.root, [*photos, *found], follow_links=self._follow))

    def waits(self, path: str) -> bool:
        """Keep a caption file without a photo beside it until all folders are known.

        False where it lies in no folder of captions.
        """
        if self._left_out is None or not any(map(is_captions_folder, path.split("/")[:-1])):
            return False
        self._run("INSERT OR IGNORE INTO waiting VALUES (?)", os.fsencode(path))
        return True

    def tell(self, path: str, *, used: bool) -> None:
        """A file belongs to a photo elsewhere, and has given it a caption or has none."""
        if self._left_out is not None:
            self._run("INSERT OR REPLACE INTO told VALUES (?, ?)", os.fsencode(path), used)

    def close(self) -> None:
        """Say what became of the files that were kept."""
        if self._database is None:
            return
        query = "SELECT path, used FROM waiting LEFT JOIN told USING (path) ORDER BY path"
        reasons = {None: "no_photo", 0: "no_words", 1: CAPTION_FILE}
        for path, used in self._database.execute(query):
            if self._left_out is not None:
                uri = encode_path(os.fsdecode(path))
                self._left_out(LeftOut(uri=uri, reason=reasons[used]))
        self._database.close()
        self._database = None

    def _run(self, statement: str, *values: object) -> None:
        if self._database is None:  # on disk, so that memory stays flat
            self._database = sqlite3.connect("", check_same_thread=False)
            self._database.execute("CREATE TABLE waiting (path BLOB PRIMARY KEY)")
            self._database.execute("CREATE TABLE told (path BLOB PRIMARY KEY, used INTEGER)")
        self._database.execute(statement, values)


class TwinSidecars:
    """Caption files in other folders, of the photos of one folder."""

    def __init__(self, twins: TwinFolders, sidecars: Sidecars) -> None:
        self._twins = twins
        self._sidecars = sidecars

    def describe(self, name: str, described: Described) -> None:
        """Add what a photo's files say, if it is a caption."""
        found = self._sidecars.of(name)
        if not found:
            return
        said = Described()
        self._sidecars.describe(found, said)
        is_caption = said.caption is not None and has_words(said.caption)
        for path in found.values():
            self._twins.tell(path, used=is_caption)
        if is_caption:
            folder = next(iter(found.values())).rpartition("/")[0]
            described.attributes |= said.attributes
            described.say(said.caption, f"{folder}/*{said.caption_from}")


def _candidates(path: str, levels: Sequence[Level]) -> Iterator[str]:
    """Where captions of the photos in a folder may lie, the nearest first."""
    for level in reversed(levels):
        parts = path[len(level.path) :].strip("/").split("/") if path != level.path else []
        for name in level.captions:
            own = words_of(name) - CAPTION_FOLDERS - PHOTO_FOLDERS  # `train` of `train_captions`
            above = [level.path, name] if level.path else [name]
            if not own:
                yield "/".join([*above, *parts])
            for place, part in enumerate(parts):
                same = own and own == words_of(part)
                if own <= words_of(part) and (same or _is_of_photos(part, place, level)):
                    yield "/".join([*above, *parts[:place], *parts[place + 1 :]])


def _is_of_photos(name: str, depth: int, level: Level) -> bool:
    """Whether a folder is there for the photos: called so, or the only one beside the captions."""
    if is_other_part(name):
        return False
    return is_photo_folder(name) or (depth == 0 and level.photos == (name,))
