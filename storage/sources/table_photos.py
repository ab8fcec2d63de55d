"""The photos that a table's rows name or hold: found, counted, read again by row number."""

import logging
import os
import sqlite3
from collections.abc import Iterator

from storage.canonical import digest_of, key_of
from storage.locations import is_local, local_path
from storage.sources.base import ReadFailure
from storage.sources.columns import pick_photo
from storage.sources.files import OCCURRENCE_MARK, read_photo, too_many_bytes
from storage.sources.names import PhotoNames
from storage.sources.parquet_rows import numbered_rows
from storage.sources.rows import BrokenRow, Row, iter_rows, open_binary, table_kind

logger = logging.getLogger(__name__)

_MAX_FOLDERS = 16
"""So many folders beside a table are looked into for photos that it names without a folder."""


class PhotoPlaces:
    """Where the photos lie that rows name: below one root, whatever the spelling.

    On a disk a name without a match is looked for in the folders beside the table, as of
    ``images/``, and is taken from there where one alone has it.
    """

    def __init__(self, root: str, *, follow_links: bool = False) -> None:
        self.root = root
        self.follow_links = follow_links
        self._above = root.rstrip("/") + "/"
        self._local = is_local(root)
        self._names = PhotoNames(root)
        self._folders: list[str] | None = None
        self._n_found = 0
        self._missing = ""

    def path(self, name: str) -> str:
        """The path below the root; a name that means nothing there stays, and is not read."""
        plain = str(local_path(name)) if name.startswith("file://") else name
        plain = plain.removeprefix(self._above).removeprefix("./")
        if self._local and self._is_there(plain):  # as written: nearly always, and soon told
            self._n_found += 1
            return plain
        found = self._spelled(plain)
        if self._is_there(found) or found.startswith("/") or ".." in found.split("/"):
            return self._counted(found)
        elsewhere = [
            path
            for folder in self._beside()
            if self._is_there(path := self._names.find(f"{folder}/{found}"))
        ]
        return self._counted(elsewhere[0] if len(elsewhere) == 1 else found)

    def _spelled(self, name: str) -> str:
        found = self._names.find(name)
        stripped = name.strip()
        return found if stripped == name or self._is_there(found) else self._names.find(stripped)

    def report(self) -> None:
        """Say so where none of the photos that were asked for is there."""
        if self._missing and not self._n_found:
            logger.warning(
                "none of the photos that the rows of the tables name is below %s (such as %r): "
                "give the folder where their paths start by --images",
                self.root,
                self._missing,
            )

    def _counted(self, path: str) -> str:
        if self._is_there(path):
            self._n_found += 1
        else:
            self._missing = self._missing or path
        return path

    def read(self, name: str) -> bytes | ReadFailure:
        """The bytes of the photo that a row names."""
        return read_photo(self.root, self.path(name), follow_links=self.follow_links)

    def _is_there(self, path: str) -> bool:
        # Each question to an object store is a request: there names are taken as they are.
        try:
            return not self._local or os.path.lexists(self._above + path)
        except ValueError:  # a NUL in the path
            return False

    def _beside(self) -> list[str]:
        if self._folders is None:
            self._folders = _folders_of(self.root)
        return self._folders if len(self._folders) <= _MAX_FOLDERS else []


def _folders_of(root: str) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(e.name for e in entries if e.name[0] != "." and e.is_dir())
    except OSError:
        return []


class SeenPhotos:
    """The photos that rows have named so far, on disk so that memory stays flat."""

    def __init__(self) -> None:
        # Spills to disk, and is gone when closed.
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE seen (key TEXT PRIMARY KEY, n INTEGER)")
        self._database.execute("CREATE TABLE rows (digest TEXT PRIMARY KEY, of TEXT)")

    def mark(self, uri: str) -> str:
        """The URI, told apart from earlier records of the same photo."""
        (n,) = self._database.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n",
            (key_of(uri),),
        ).fetchone()
        return uri if n == 1 else f"{uri}{OCCURRENCE_MARK}{n}"

    def other_table(self, table: str, photo: str, caption: str | None) -> str | None:
        """Another table, read before, that gives this photo this caption; None where none does."""
        digest = digest_of([photo, (caption or "").strip()])
        (first,) = self._database.execute(
            "INSERT INTO rows VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET of = of "
            "RETURNING of",
            (digest, table),
        ).fetchone()
        return None if first == table else str(first)

    def close(self) -> None:
        """Forget all of them."""
        self._database.close()


def read_cells(uri: str, wanted: set[int], places: PhotoPlaces) -> dict[int, bytes | ReadFailure]:
    """The photos of some rows of a table, by their numbers; of parquet only what must be is read.

    Raises:
        SourceError: the table cannot be read.
    """
    if table_kind(uri) == "parquet":
        with open_binary(uri) as file:
            return {number: _photo(row, places) for number, row in numbered_rows(file, wanted)}
    return {number: _photo(row, places) for number, row in _all_rows(uri, wanted)}


def _photo(row: Row | BrokenRow, places: PhotoPlaces) -> bytes | ReadFailure:
    if isinstance(row, BrokenRow):
        return ReadFailure(row.detail)
    _, photo = pick_photo(row)
    if isinstance(photo, str):
        return places.read(photo)
    if isinstance(photo, bytes):
        return too_many_bytes(len(photo)) or photo
    return photo


def _all_rows(uri: str, wanted: set[int]) -> Iterator[tuple[int, Row | BrokenRow]]:
    last = max(wanted)
    for number, row in enumerate(iter_rows(uri)):
        if number in wanted:
            yield number, row
        if number >= last:
            return
