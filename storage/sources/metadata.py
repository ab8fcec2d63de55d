"""Captions of a whole folder in one file: ``metadata.jsonl|csv|parquet``."""

import logging
import os
import sqlite3
from collections.abc import Iterator

from storage.canonical import canonical_json, encode_path, plain_json, valid_text
from storage.errors import SourceError
from storage.locations import exists, is_local, join
from storage.sources.base import LeftOut, LeftOutSink
from storage.sources.names import folded_path, photo_name, plain_path
from storage.sources.rows import BrokenRow, iter_rows

logger = logging.getLogger(__name__)

METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")

_Found = tuple[int, str]


def is_metadata_name(name: str) -> bool:
    """Whether a file is a folder's captions, in any case."""
    return name.lower() in METADATA_NAMES


class MetadataTable:
    """Photo's name -> row, kept in a temporary database so that memory stays flat."""

    def __init__(
        self, uri: str, *, path: str | None = None, left_out: LeftOutSink | None = None
    ) -> None:
        """Read the file.

        Args:
            uri: where it is.
            path: below the source's root, for what is left out; its name if not given.
            left_out: takes rows that are broken, repeat a name, or name no photo.

        Raises:
            SourceError: the file cannot be read, or no row names a photo.
        """
        self.uri = uri
        self.path = uri.rpartition("/")[2] if path is None else path
        self._folder = uri.rpartition("/")[0]
        self._left_out = left_out
        self._matched = bytearray()  # a byte for each row
        self._spellings_known = False
        self._database = sqlite3.connect(
            "", check_same_thread=False
        )  # spills to disk, gone when closed
        self._database.execute("CREATE TABLE rows (name TEXT PRIMARY KEY, n INTEGER, fields TEXT)")
        self._load()

    def find(self, path: str) -> str | None:
        """The row of one photo as JSON; ``path`` is relative to the metadata file's folder.

        Another spelling of its name counts where no photo has that very name.
        """
        try:
            found = self._row(path) or self._respelled(path)
        except UnicodeEncodeError:
            return None  # a file name that is not UTF-8 cannot stand in the table
        if found is None:
            return None
        self._matched[found[0]] = 1
        return found[1]

    def close(self) -> None:
        """Forget the rows; say how many named no photo."""
        unused = 0
        for name, number in self._database.execute("SELECT name, n FROM rows ORDER BY n"):
            if not self._matched[number]:
                unused += 1
                self._leave(number, "no_photo", str(name))
        if unused:
            logger.warning("%s: %d rows name no photo", self.uri, unused)
        self._database.close()

    def _load(self) -> None:
        insert = "INSERT OR IGNORE INTO rows VALUES (?, ?, ?)"
        for name, number, fields in self._named():
            if self._database.execute(insert, (name, number, fields)).rowcount == 0:
                self._leave(number, "repeated", name)

    def _named(self) -> Iterator[tuple[str, int, str]]:
        named = False
        for number, row in enumerate(iter_rows(self.uri)):
            self._matched.append(0)
            if isinstance(row, BrokenRow):
                logger.warning("%s row %d is left out: %s", self.uri, number + 1, row.detail)
                self._leave(number, "broken_row", row.detail)
                continue
            column, name = photo_name(row)
            if name is None:
                self._leave(number, "broken_row", "it names no photo")
                continue
            named = True
            rest = {field: value for field, value in row.items() if field != column}
            inside = name.removeprefix(f"{self._folder}/").removeprefix("./")
            yield valid_text(inside), number, canonical_json(plain_json(rest))
        if self._matched and not named:
            raise SourceError(
                f"{self.uri}: expected a column 'file_name' (or filename, image_path, image, ... "
                "in any case) with photos' names below its folder, found none in any row; rename "
                "the column, or move the file elsewhere"
            )

    def _row(self, name: str) -> _Found | None:
        query = "SELECT n, fields FROM rows WHERE name = ?"
        found = self._database.execute(query, (name,)).fetchone()
        return None if found is None else (int(found[0]), str(found[1]))

    def _respelled(self, path: str) -> _Found | None:
        self._know_spellings()
        same = "SELECT name FROM spellings WHERE plain = ? LIMIT 1"
        alike = "SELECT min(name) FROM spellings WHERE folded = ? HAVING count(*) = 1"
        for query, spelled in ((same, plain_path(path)), (alike, folded_path(path))):
            found = self._database.execute(query, (spelled,)).fetchone()
            if found is not None and not self._is_photo(str(found[0])):
                return self._row(str(found[0]))
        return None

    def _know_spellings(self) -> None:
        """Made when it is first asked for: most tables name every photo as it is."""
        if self._spellings_known:
            return
        self._spellings_known = True
        run = self._database.execute
        run("CREATE TABLE spellings (name TEXT, plain TEXT, folded TEXT)")
        spelled = (
            (name, valid_text(plain_path(name)), valid_text(folded_path(name)))
            for (name,) in run("SELECT name FROM rows")
        )
        self._database.executemany("INSERT INTO spellings VALUES (?, ?, ?)", spelled)
        run("CREATE INDEX by_plain ON spellings (plain)")
        run("CREATE INDEX by_folded ON spellings (folded)")

    def _is_photo(self, name: str) -> bool:
        """Whether a photo has just this name: the row is that one's."""
        try:
            place = join(self._folder, name)
            return os.path.lexists(place) if is_local(self._folder) else exists(place)
        except (OSError, ValueError):
            return False

    def _leave(self, number: int, reason: str, detail: str) -> None:
        if self._left_out is not None:
            uri = f"{encode_path(self.path)}?row={number}"
            self._left_out(LeftOut(uri=uri, reason=reason, detail=detail))
