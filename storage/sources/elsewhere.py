"""Captions that do not lie beside a photo: in a folder of captions, or in a list of the folder."""

from collections.abc import Sequence

from storage.sources.base import LeftOutSink
from storage.sources.folder_lists import FolderLists
from storage.sources.listing import Entry
from storage.sources.sidecars import Described, Sidecars
from storage.sources.twin_folders import Level, TwinFolders, TwinSidecars


class Elsewhere:
    """What is known of captions elsewhere in one folder of a listing, by it and those above."""

    def __init__(
        self,
        twins: TwinFolders,
        path: str,
        entries: Sequence[Entry],
        sidecars: Sidecars,
        *,
        above: "Elsewhere | None" = None,
        left_out: LeftOutSink | None = None,
    ) -> None:
        self._all_twins = twins
        self._path = path
        self._entries = entries
        self._sidecars = sidecars
        level = twins.level(path, sidecars.folders)
        self._levels: tuple[Level, ...] = above._levels if above else ()
        if level is not None:
            self._levels = (*self._levels, level)
        own = FolderLists(twins.root, path, entries, sidecars, left_out=left_out)
        self._lists: tuple[FolderLists, ...] = (own, *(above._lists if above else ()))
        self._twins: TwinSidecars | None = None
        self._is_asked = False

    def describe(self, photo: Entry, described: Described) -> None:
        """Add what is said of a photo that has no caption beside it."""
        if not self._is_asked:
            self._is_asked = True
            self._twins = self._find_twins() if self._levels else None
        if self._twins is not None:
            self._twins.describe(photo.name, described)
        for lists in self._lists:
            if not described.is_said:
                lists.describe(photo.path, described)

    @property
    def used(self) -> set[str]:
        """The paths of the lists in this folder that gave captions."""
        return self._lists[0].used

    def close(self) -> None:
        """Say what of those lists was of no use."""
        self._lists[0].close()

    def _find_twins(self) -> TwinSidecars | None:
        photos = [entry for entry in self._entries if entry.name in self._sidecars.photos]
        return self._all_twins.of(self._path, photos, self._levels)
