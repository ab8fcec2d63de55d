"""Captions of a whole folder in one file: ``metadata.jsonl|csv|parquet``."""

import logging
import sqlite3
from collections.abc import Iterator

from storage.canonical import canonical_json, plain_json, valid_text
from storage.errors import SourceError
from storage.sources.rows import BrokenRow, iter_rows

logger = logging.getLogger(__name__)

METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


class MetadataTable:
    """``file_name`` -> row, kept in a temporary database so that memory stays flat."""

    def __init__(self, uri: str) -> None:
        """Read the file.

        Raises:
            SourceError: the file cannot be read, or has no ``file_name`` column.
        """
        self.uri = uri
        self._matched = 0
        self._database = sqlite3.connect(
            "", check_same_thread=False
        )  # spills to disk, gone when closed
        self._database.execute("CREATE TABLE rows (name TEXT PRIMARY KEY, fields TEXT)")
        self._database.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", self._load())

    def _load(self) -> Iterator[tuple[str, str]]:
        named = False
        n_rows = 0
        for n_rows, row in enumerate(iter_rows(self.uri), start=1):
            if isinstance(row, BrokenRow):
                logger.warning("%s row %d is left out: %s", self.uri, n_rows, row.detail)
                continue
            name = row.get("file_name")
            if isinstance(name, str):
                named = True
                rest = {field: value for field, value in row.items() if field != "file_name"}
                yield valid_text(name.removeprefix("./")), canonical_json(plain_json(rest))
        if n_rows and not named:
            raise SourceError(f"{self.uri}: expected a column 'file_name', found none in any row")

    def find(self, path: str) -> str | None:
        """The row of one photo as JSON; ``path`` is relative to the metadata file's folder."""
        query = "SELECT fields FROM rows WHERE name = ?"
        try:
            found = self._database.execute(query, (path,)).fetchone()
        except UnicodeEncodeError:
            return None  # a file name that is not UTF-8 cannot stand in the table
        if found is None:
            return None
        self._matched += 1
        return str(found[0])

    def close(self) -> None:
        """Forget the rows; say how many named no photo."""
        (total,) = self._database.execute("SELECT count(*) FROM rows").fetchone()
        if total > self._matched:
            logger.warning("%s: %d rows name no photo", self.uri, total - self._matched)
        self._database.close()
