"""The folders below a source's root: each entry stands alone, and what is left out is told."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from storage.canonical import encode_path
from storage.errors import SourceError
from storage.locations import filesystem, is_local, join, local_path, names_in
from storage.sources.base import LeftOut, LeftOutSink
from storage.sources.files import is_inside

logger = logging.getLogger(__name__)

MAX_DEPTH = 256
"""Folders in folders; no more, so that a walk that calls itself ends before Python's stack does."""

_ETAG_FIELDS = ("ETag", "etag", "md5Hash", "content_md5")
_WARNED = {
    "link_outside": "links out of it",
    "link_loop": "links to a folder above them",
    "dead_link": "names of which the file system cannot tell what they are",
    "unlistable": "folders that cannot be listed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of a directory that a listing may look at."""

    name: str
    path: str  # below the root, POSIX separators
    is_directory: bool
    etag: str | None = None  # object stores only
    is_dead: bool = False  # a link that leads nowhere, or to itself


class Listing:
    """One walk over the folders of a source.

    A folder that cannot be listed (forbidden, gone, a fault of the disk or of the object store) is
    an error, unless ``skip_unlisted`` is given: then it stands in ``unlisted``. Links out of the
    root are left out, unless ``follow_links`` is given.
    """

    def __init__(
        self,
        root: str,
        *,
        skip_unlisted: bool = False,
        follow_links: bool = False,
        left_out: LeftOutSink | None = None,
    ) -> None:
        self.unlisted: list[str] = []  # below the root, percent-encoded as URIs of records are
        self._root = root
        self._skip = skip_unlisted
        self._follow = follow_links
        self._left_out = left_out
        self._local_root = is_local(root)
        self._real_root = os.path.realpath(root) if self._local_root else root
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
            entries = self._local(path, ancestors) if self._local_root else self._remote(path)
        except Exception as error:  # object stores raise their clients' own errors
            if not self._skip or not path:
                raise SourceError(
                    f"{join(self._root, path) if path else self._root}: the folder cannot be "
                    f"listed, its photos would be missing: {error}; make it readable, or leave out "
                    "what cannot be listed (--skip-unlisted)"
                ) from error
            self.unlisted.append(encode_path(path))
            self._leave("unlistable", path)
            return []
        # A directory sorts with its slash, as in git: the walk then is in order of the whole path.
        entries.sort(key=lambda e: os.fsencode(e.name + ("/" if e.is_directory else "")))
        return entries

    def below(self, ancestors: tuple[str, ...], path: str) -> tuple[str, ...]:
        """The ancestors of what lies in a folder."""
        if not self._local_root:
            return ()
        return (*ancestors, os.path.realpath(os.path.join(self._root, path)))

    def files(self, path: str = "", ancestors: tuple[str, ...] = ()) -> Iterator[Entry]:
        """Every visible file below a folder, in order of the path's bytes; errors as above."""
        ancestors = self.below(ancestors, path)
        for entry in self.entries(path, ancestors=ancestors):
            if entry.is_directory:
                yield from self.files(entry.path, ancestors)
            else:
                yield entry

    def warn(self) -> None:
        """Say once how much of what was left out."""
        if any(reason in _WARNED for reason in self._counts):
            logger.warning("source %s is listed, but for %s", self._root, self.summary())

    def summary(self) -> str:
        """What was left out and may be missed, with an example of each; empty where nothing was."""
        told = "; ".join(
            f"{n} {_WARNED[reason]} (such as {self._examples[reason]!r})"
            for reason, n in self._counts.items()
            if reason in _WARNED
        )
        hint = "; --follow-links reads what links lead to"
        return told + hint if "link_outside" in self._counts else told

    def _leave(self, reason: str, path: str, *, told: bool = True) -> None:
        self._counts[reason] += 1
        self._examples.setdefault(reason, path)
        if told and self._left_out is not None:
            self._left_out(LeftOut(uri=encode_path(path), reason=reason))

    def _local(self, path: str, ancestors: tuple[str, ...]) -> list[Entry]:
        with os.scandir(os.path.join(self._root, path)) as scanned:
            found = [
                self._entry(item, f"{path}/{item.name}" if path else item.name, ancestors)
                for item in scanned
            ]
        return [entry for entry in found if entry is not None]

    def _entry(
        self, item: "os.DirEntry[str]", path: str, ancestors: tuple[str, ...]
    ) -> Entry | None:
        dead = False
        if item.name.startswith("."):
            return self._hidden(item, path)
        try:
            if item.is_symlink():
                target = os.path.realpath(item.path)
                if not self._follow and not is_inside(target, self._real_root):
                    return self._leave("link_outside", path)
                if target in ancestors:
                    return self._leave("link_loop", path)
            directory = item.is_dir()
            if not directory and not item.is_file():
                os.stat(item.path)  # OSError for what is there in name only
                return self._leave("not_a_file", path)
        except OSError:  # a link that is dead or points to itself: a photo will be unreadable
            self._leave("dead_link", path, told=False)
            directory, dead = False, True
        return Entry(name=item.name, path=path, is_directory=directory, is_dead=dead)

    def _hidden(self, item: "os.DirEntry[str]", path: str) -> None:
        if self._left_out is None:
            return
        if not item.is_dir(follow_symlinks=False):
            self._leave("hidden", path)
            return
        for folder, folders, names in os.walk(item.path):
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in (*names, *links):
                inner = os.path.relpath(os.path.join(folder, name), item.path)
                self._leave("hidden", f"{path}/{inner}")

    def _remote(self, path: str) -> list[Entry]:
        fs, base = filesystem(join(self._root, path) if path else self._root)
        entries: list[Entry] = []
        for info in fs.ls(base, detail=True):
            full = str(info["name"])
            name = full.rstrip("/").rsplit("/", 1)[-1]
            if full.strip("/") == base.strip("/"):
                continue
            below = f"{path}/{name}" if path else name
            directory = info["type"] == "directory"
            if name.startswith("."):
                if self._left_out is not None:
                    inner = fs.find(full) if directory else [full]
                    for found in inner:
                        self._leave("hidden", f"{below}{str(found)[len(full) :]}")
                continue
            etag = next((str(info[field]) for field in _ETAG_FIELDS if info.get(field)), None)
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


def folders_of(folder: str) -> list[str]:
    """Sorted names of the visible folders directly inside one; none where it cannot be listed."""
    try:
        if is_local(folder):
            with os.scandir(local_path(folder)) as entries:
                return sorted(e.name for e in entries if e.name[0] != "." and e.is_dir())
        fs, base = filesystem(folder)
        paths = [str(i["name"]) for i in fs.ls(base, detail=True) if i["type"] == "directory"]
    except Exception:  # object stores raise their clients' own errors
        return []
    names = (path.rstrip("/").rpartition("/")[2] for path in paths)
    return sorted(name for name in names if name[:1] not in ("", "."))
