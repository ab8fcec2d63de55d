"""Where the photos lie that an annotation file names: beside it, in a folder of photos, or above.

Names start at the dataset's folder, at the folder of photos, or, as Human-Art's, LAION-Human's and
files merged from several datasets do, at the folder that holds the datasets.
"""

import json
import os
import posixpath
import re
from collections.abc import Iterator

from storage.locations import is_directory, join, read_bytes
from storage.sources.folder_words import is_other_part
from storage.sources.listing import folders_of
from storage.sources.names import PhotoNames

_TOP = re.compile(
    rb'"((?:[^"\\/\r\n]|\\u[0-9a-fA-F]{4}){1,255})(?:/|\\/|\\\\)[^"\r\n]{0,1000}\.\w{2,5}"'
)
_PHOTO_FOLDERS = ("photos", "images")
_MAX_FOLDERS = 16


class PhotoPlaces:
    """Finds the photos of one annotation file below a root; the first place that has one counts.

    What is nowhere stands where the first name says that all of them do.
    """

    def __init__(
        self, root: str, *, home: str = "", captions_uri: str = "", first: str | None
    ) -> None:
        self._names = PhotoNames(root)
        self._root = root
        self._home = f"{home}/" if home else ""  # of the dataset, below the root
        self._own_name = (home or root).rstrip("/").rpartition("/")[2]
        split = re.fullmatch(r"captions_?(.*)\.json", captions_uri.rpartition("/")[2], re.I)
        splits = [split[1], f"images/{split[1]}"] if split and split[1] else []
        self.folders = (*splits, *_PHOTO_FOLDERS)
        self._further: FurtherFolders | None = None
        self._alone = first is None
        # Without a first name: the user has said where all of them start.
        self._usual = ("", "") if first is None else self._usual_place(first)
        self.any_found = self._usual is not None

    def find(self, name: str) -> str:
        """The photo's path below the root."""
        name = name.removeprefix(f"{self._root.rstrip('/')}/")
        usual = self._home + name if self._usual is None else self._at(*self._usual, name)
        for path in dict.fromkeys((usual, *self._candidates(name))):
            found = self._names.lookup_photo(path)
            if found is not None:
                self.any_found = True
                return _tidy(found)
        elsewhere = self._elsewhere(name)
        self.any_found = self.any_found or elsewhere is not None
        return usual if elsewhere is None else elsewhere

    def is_there(self, name: str) -> bool:
        """Whether the photo is found."""
        path = self.find(name)
        return self._names.lookup(path) is not None

    def _candidates(self, name: str) -> Iterator[str]:
        yield self._home + name
        own = f"{self._own_name}/"
        if name.startswith(own):
            yield self._home + name[len(own) :]
        for folder in self.folders:
            yield f"{self._home}{folder}/{name}"
        yield name
        parts = name.replace("\\", "/").split("/")
        if self._own_name in parts[1:-1]:  # of another machine, where the folder lay elsewhere
            last = len(parts) - 1 - parts[::-1].index(self._own_name)
            yield self._home + "/".join(parts[last + 1 :])

    def _elsewhere(self, name: str) -> str | None:
        """A photo in the further folders of the dataset, where one alone has it."""
        if self._alone or name.startswith("/") or ".." in name.split("/"):
            return None
        if self._further is None:
            self._further = FurtherFolders(join(self._root, self._home.rstrip("/")))
        found = self._further.find(self._names, name, above=self._home)
        return None if found is None else _tidy(found)

    def _at(self, above: str, folder: str, name: str) -> str:
        return f"{self._home}{folder}{name.removeprefix(above)}"

    def _usual_place(self, name: str) -> tuple[str, str] | None:
        """What to cut off names, and what to put before them; None where no folder shows it."""
        top = name.split("/", 1)[0] if "/" in name else ""
        if top == self._own_name:
            return f"{top}/", ""
        if top not in ("", ".", "..") and self._is_folder(top):
            return "", ""
        return next((("", f"{f}/") for f in self.folders if self._is_folder(f)), None)

    def _is_folder(self, name: str) -> bool:
        return is_directory(join(self._root, self._home + name))


class FurtherFolders:
    """Folders in which photos may lie that are named without one: two levels, or one if many."""

    def __init__(self, root: str) -> None:
        names = folders_of(root) if root else []
        inner = [f"{name}/{below}" for name in names[:_MAX_FOLDERS]
                 for below in folders_of(join(root, name))]  # fmt: skip
        known = [*names, *inner] if len(names) + len(inner) <= _MAX_FOLDERS else names
        if len(known) > _MAX_FOLDERS:
            known = []
        made = [path for path in known if any(map(is_other_part, path.split("/")))]
        # Masks and depth maps have the names of their photos.
        self._groups = ([path for path in known if path not in made], made)

    def find(self, names: PhotoNames, name: str, *, above: str = "") -> str | None:
        """The photo of a name below ``above``, where one folder alone has it."""
        for folders in self._groups:
            tried = (names.lookup_photo(f"{above}{folder}/{name}") for folder in folders)
            found = [path for path in tried if path is not None]
            if found:
                return found[0] if len(found) == 1 else None
        return None


def _tidy(path: str) -> str:
    """A path as a listing gives it."""
    parts = path.split("/")
    return path if ".." in parts or path.startswith("/") else posixpath.normpath(path)


def root_above(folder: str, captions: tuple[str, ...]) -> tuple[str, str]:
    """Where the photos' paths start, and the dataset's folder below it.

    That is the folder itself, or the one above where the names' first parts lie there alone: one
    annotation file for several datasets beside each other.
    """
    above, _, own = folder.rpartition("/")
    if not above or above.endswith(("/", ":")):
        return folder, ""
    for uri in captions:
        for top in sorted(_tops(uri) - {own, ".", ".."}):
            places = (join(folder, *parts, top) for parts in ((), *((f,) for f in _PHOTO_FOLDERS)))
            if is_directory(join(above, top)) and not any(map(is_directory, places)):
                return above, own
    return folder, ""


def _tops(uri: str) -> set[str]:
    """First parts of all that looks like a path in a file: read without its JSON, for speed."""
    try:
        found = {match[1] for match in _TOP.finditer(read_bytes(uri))}
    except OSError:
        return set()  # said by who reads it
    tops: set[str] = set()
    for raw in found:
        if len(raw) < 256:
            try:
                tops.add(json.loads(b'"' + raw + b'"'))
            except ValueError:
                continue
    return {top for top in tops if top and not os.path.isabs(top) and ":" not in top}
