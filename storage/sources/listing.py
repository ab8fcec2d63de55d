"""The folders below a source's root: each entry stands alone, and what is left out is counted."""

import logging
import os
import stat
from collections import Counter
from dataclasses import dataclass

from storage.canonical import encode_path
from storage.errors import SourceError
from storage.locations import filesystem, is_local, join, names_in
from storage.sources.files import is_inside

logger = logging.getLogger(__name__)

MAX_DEPTH = 256
"""Folders in folders; no more, so that a walk that calls itself ends before Python's stack does."""

_ETAG_FIELDS = ("ETag", "etag", "md5Hash", "content_md5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of a directory that a listing may look at."""

    name: str
    path: str  # below the root, POSIX separators
    is_directory: bool
    etag: str | None = None  # object stores only


class Listing:
    """One walk over the folders of a source.

    A folder that cannot be listed (forbidden, gone, a fault of the disk or of the object store) is
    an error, unless ``skip_unlisted`` is given: then it stands in ``unlisted``.
    """

    def __init__(self, root: str, *, skip_unlisted: bool = False) -> None:
        self.unlisted: list[str] = []  # below the root, percent-encoded as URIs of records are
        self._root = root
        self._skip = skip_unlisted
        self._real_root = os.path.realpath(root) if is_local(root) else root
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def entries(self, path: str, *, ancestors: tuple[str, ...] = ()) -> list[Entry]:
        """The visible entries of one folder, so ordered that a walk gives sorted paths.

        Hidden names, what is neither file nor directory, links that leave the root, and links to
        one of ``ancestors`` (real paths; a loop) are left out.

        Raises:
            SourceError: the folder cannot be listed, and is the root or may not be skipped.
        """
        try:
            if path.count("/") >= MAX_DEPTH:
                raise OSError(f"more than {MAX_DEPTH} folders in each other")
            entries = self._local(path, ancestors) if is_local(self._root) else self._remote(path)
        except Exception as error:  # object stores raise their clients' own errors
            if not self._skip or not path:
                raise SourceError(
                    f"{join(self._root, path) if path else self._root}: the folder cannot be "
                    f"listed, its photos would be missing: {error}; make it readable, or leave out "
                    "what cannot be listed (--skip-unlisted)"
                ) from error
            self.unlisted.append(encode_path(path))
            self._count("folders that cannot be listed", path)
            return []
        # A directory sorts with its slash, as in git: the walk then is in order of the whole path.
        entries.sort(key=lambda e: os.fsencode(e.name + ("/" if e.is_directory else "")))
        return entries

    def warn(self) -> None:
        """Say once how much of what was left out."""
        if self._counts:
            parts = [
                f"{n} {what} (such as {self._examples[what]!r})" for what, n in self._counts.items()
            ]
            logger.warning("source %s is listed, but for %s", self._root, "; ".join(parts))

    def _count(self, what: str, path: str) -> None:
        self._counts[what] += 1
        self._examples.setdefault(what, path)

    def _local(self, path: str, ancestors: tuple[str, ...]) -> list[Entry]:
        with os.scandir(os.path.join(self._root, path)) as scanned:
            found = [
                self._entry(item, f"{path}/{item.name}" if path else item.name, ancestors)
                for item in scanned
                if not item.name.startswith(".")
            ]
        return [entry for entry in found if entry is not None]

    def _entry(
        self, item: "os.DirEntry[str]", path: str, ancestors: tuple[str, ...]
    ) -> Entry | None:
        try:
            if item.is_symlink():
                target = os.path.realpath(item.path)
                if not is_inside(target, self._real_root):
                    return self._count("links out of it", path)
                if target in ancestors:
                    return self._count("links to a folder above them", path)
            directory = item.is_dir()
            if not directory and not stat.S_ISREG(item.stat().st_mode):
                return None
        except OSError:  # a link that is dead or points to itself: a photo will be unreadable
            self._count("names of which the file system cannot tell what they are", path)
            directory = False
        return Entry(name=item.name, path=path, is_directory=directory)

    def _remote(self, path: str) -> list[Entry]:
        fs, base = filesystem(join(self._root, path) if path else self._root)
        entries: list[Entry] = []
        for info in fs.ls(base, detail=True):
            full = str(info["name"])
            name = full.rstrip("/").rsplit("/", 1)[-1]
            if name.startswith(".") or full.strip("/") == base.strip("/"):
                continue
            etag = next((str(info[field]) for field in _ETAG_FIELDS if info.get(field)), None)
            below = f"{path}/{name}" if path else name
            directory = info["type"] == "directory"
            entries.append(Entry(name=name, path=below, is_directory=directory, etag=etag))
        return entries


def names_of(folder: str) -> list[str]:
    """Sorted names of the files directly inside a folder; none where it does not exist.

    Raises:
        SourceError: the folder cannot be listed.
    """
    try:
        return names_in(folder)
    except Exception as error:  # object stores raise their clients' own errors
        raise SourceError(f"{folder}: the folder cannot be listed: {error}") from error
