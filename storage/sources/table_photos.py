"""The photos that a table's rows name or hold: found, counted, read again by row number."""

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator

from storage.canonical import digest_of, key_of
from storage.locations import is_local, local_path
from storage.sources.base import ReadFailure, has_image_suffix
from storage.sources.columns import pick_photo
from storage.sources.files import OCCURRENCE_MARK, read_photo, too_many_bytes
from storage.sources.names import PhotoNames
from storage.sources.parquet_rows import numbered_rows
from storage.sources.photo_places import FurtherFolders
from storage.sources.rows import BrokenRow, Row, iter_rows, open_binary, table_kind

Reader = Callable[[str], bytes | ReadFailure]

logger = logging.getLogger(__name__)


class RowPhotos:
    """Where the photos lie that rows name: below one root, whatever the spelling.

    A path starts at the table's folder, at the root, or (as of another machine) above the folder
    that the root is called; the first of these that is there counts. On a disk a name without any
    is looked for in the folders beside the table, as of ``images/``, and is taken from there where
    one alone has it.
    """

    def __init__(self, root: str, *, follow_links: bool = False) -> None:
        self.root = root
        self.follow_links = follow_links
        self._above = root.rstrip("/") + "/"
        self._own_name = root.rstrip("/").rpartition("/")[2]
        self._local = is_local(root)
        self._names = PhotoNames(root)
        self._starts: dict[str, str] = {}
        self._folders: FurtherFolders | None = None
        self._n_found = 0
        self._missing = ""

    def path(self, name: str, *, folder: str = "") -> str:
        """The path below the root; a name that means nothing there stays, and is not read.

        ``folder`` is the table's, below the root.
        """
        found, plain = self._found(name, folder)
        if found is None:
            self._missing = self._missing or plain
            return plain
        self._n_found += 1
        return found

    def is_there(self, name: str, *, folder: str = "") -> bool:
        """Whether a name means a photo that is there."""
        found, _ = self._found(name, folder)
        return (
            found is not None and has_image_suffix(found) and self._names.lookup(found) is not None
        )

    def _found(self, name: str, folder: str) -> tuple[str | None, str]:
        """The path of a name, or None, and the name without what is said twice."""
        plain = str(local_path(name)) if name.startswith("file://") else name
        plain = re.sub(r"/(\./|/)+", "/", plain).removeprefix(self._above).removeprefix("./")
        if not self._local:
            return self._in_store(plain, folder), plain
        candidates = list(self._candidates(plain, folder))
        found = next((path for path in candidates if self._is_there(path)), None)
        if found is None:
            sure = (self._names.lookup_photo(path) for path in candidates)
            found = next((path for path in sure if path is not None), None)
        if found is None:
            found = self._beside(candidates[0]) or self._beside(plain)
        return found, plain

    def read(self, name: str, *, folder: str = "") -> bytes | ReadFailure:
        """The bytes of the photo that a row names."""
        path = self.path(name, folder=folder)
        return read_photo(self.root, path, follow_links=self.follow_links)

    def report(self) -> None:
        """Say so where none of the photos that were asked for is there."""
        if self._missing and not self._n_found:
            logger.warning(
                "none of the photos that the rows of the tables name is below %s (such as %r): "
                "give the folder where their paths start by --images",
                self.root,
                self._missing,
            )

    def _candidates(self, name: str, folder: str) -> Iterator[str]:
        for spelled in dict.fromkeys((name, name.strip())):
            if spelled.startswith("/") or ".." in spelled.split("/"):
                yield spelled  # not read, unless its end is meant
            else:
                yield from dict.fromkeys((f"{folder}/{spelled}" if folder else spelled, spelled))
            parts = spelled.replace("\\", "/").split("/")
            if self._own_name in parts[:-1]:
                last = len(parts) - 1 - parts[::-1].index(self._own_name)
                yield "/".join(parts[last + 1 :])

    def _in_store(self, name: str, folder: str) -> str:
        # Each question to an object store is a request: one table's paths all start alike.
        if folder and folder not in self._starts:
            there = self._names.lookup(f"{folder}/{name}") is not None
            self._starts[folder] = f"{folder}/" if there else ""
        path = self._starts.get(folder, "") + name
        known = None if has_image_suffix(path) else self._names.lookup_photo(path)
        return known or self._names.find(path)

    def _is_there(self, path: str) -> bool:
        try:
            return path[:1] != "/" and os.path.lexists(self._above + path)
        except ValueError:  # a NUL in the path
            return False

    def _beside(self, name: str) -> str | None:
        if name.startswith("/") or ".." in name.split("/"):
            return None
        if self._folders is None:
            self._folders = FurtherFolders(self.root)
        return self._folders.find(self._names, name)


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


def read_cells(
    uri: str, wanted: set[int], photo: Reader, *, column: str | None = None
) -> dict[int, bytes | ReadFailure]:
    """The photos of some rows of a table, by their numbers; of parquet only what must be is read.

    ``photo`` reads one that a row names; ``column`` is the photos', if the user names it.

    Raises:
        SourceError: the table cannot be read.
    """
    if table_kind(uri) == "parquet":
        with open_binary(uri) as file:
            rows = numbered_rows(file, wanted, column=column)
            return {n: _read_cell(row, photo, column) for n, row in rows}
    return {n: _read_cell(row, photo, column) for n, row in _all_rows(uri, wanted)}


def _read_cell(row: Row | BrokenRow, read: Reader, column: str | None) -> bytes | ReadFailure:
    if isinstance(row, BrokenRow):
        return ReadFailure(row.detail)
    _, photo = pick_photo(row, named=column)
    if isinstance(photo, str):
        return read(photo)
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
