"""Content tags: what changes when a photo's bytes change; and where this program's caches lie."""

import hashlib
import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

HASH_PREFIX = "sha256:"
_SETTLE_S = 2.0
_COMMIT_EVERY = 2000


def cache_folder(name: str = "") -> Path:
    """The folder of one cache in ``$HCP_CACHE``, ``$XDG_CACHE_HOME/hcp`` or ``~/.cache/hcp``."""
    own, shared = os.environ.get("HCP_CACHE"), os.environ.get("XDG_CACHE_HOME")
    base = Path(own) if own else Path(shared or "~/.cache") / "hcp"
    return base.expanduser() / name


def hash_tag(data: bytes) -> str:
    """The tag of a photo of which we have the bytes."""
    return HASH_PREFIX + hashlib.sha256(data).hexdigest()[:32]


def file_stamp(status: os.stat_result) -> str:
    """What a file system says about a file; a rewrite changes it, as in git's index."""
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def is_settled(status: os.stat_result, *, settle_s: float = _SETTLE_S) -> bool:
    """Whether a file's stamp may stand for its bytes.

    Not of a file that changed less than ``settle_s`` ago: a second write within the clock's grain
    would leave the same stamp (git calls such an entry racy).
    """
    return time.time() - max(status.st_mtime, status.st_ctime) >= settle_s


class TagCache:
    """Tags of settled files by (path, size, times); without a writable cache, of none."""

    def __init__(self, path: Path | None = None, *, settle_s: float = _SETTLE_S) -> None:
        self._path = path or cache_folder() / "content-tags.sqlite"
        self._settle_s = settle_s
        self._n_new = 0
        self._database: sqlite3.Connection | None = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, timeout=2.0, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
        self._run("CREATE TABLE IF NOT EXISTS tags (path BLOB PRIMARY KEY, stamp TEXT, tag TEXT)")

    def lookup(self, path: str, stamp: str) -> str | None:
        """The tag remembered for this path with this stamp."""
        query = "SELECT tag FROM tags WHERE path = ? AND stamp = ?"
        row = self._run(query, os.fsencode(path), stamp)
        return None if row is None else str(row[0])

    def remember(self, path: str, status: os.stat_result, tag: str) -> None:
        """Keep a tag for the next listing."""
        if not is_settled(status, settle_s=self._settle_s):
            return
        values = (os.fsencode(path), file_stamp(status), tag)
        self._run("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", *values)
        self._n_new += 1
        if self._n_new % _COMMIT_EVERY == 0:
            self._run("COMMIT")

    def close(self) -> None:
        """Write what is pending and let the file go."""
        if self._database is not None and self._database.in_transaction:
            self._run("COMMIT")
        if self._database is not None:
            self._database.close()
            self._database = None

    def _run(self, statement: str, *values: str | bytes) -> Any:
        """The first row of what a statement finds; None where it finds none, or none can be had."""
        if self._database is None:
            return None
        try:
            return self._database.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            return self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        # A cache only saves time: a locked or read-only one must not stop a listing.
        logger.info("content tags are not remembered in %s: %s", self._path, error)
        if self._database is not None:
            self._database.close()
            self._database = None
