"""Keys of samples that repeat an earlier one: an exclusion list for a version."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Literal

import pyarrow.parquet as pq

from storage.locations import local_copy, normalised
from storage.shards import shard_uri


def duplicate_keys(
    root: str, fingerprints: Sequence[str], *, by: Literal["sha256", "phash"] = "sha256"
) -> list[str]:
    """Keys of all but the first sample of each photo, in shard order.

    ``sha256`` finds files with equal bytes, ``phash`` photos whose perceptual hashes are equal
    (re-encoded, resized). Digests are kept on disk: memory grows with the duplicates only.
    """
    place = normalised(root)
    repeated: list[str] = []
    with closing(sqlite3.connect("", check_same_thread=False)) as database:
        database.execute("CREATE TABLE seen (digest TEXT PRIMARY KEY) WITHOUT ROWID")
        for key, digest in _rows(place, fingerprints, by):
            insert = "INSERT OR IGNORE INTO seen VALUES (?)"
            if database.execute(insert, (digest,)).rowcount == 0:
                repeated.append(key)
    return repeated


def _rows(root: str, fingerprints: Sequence[str], column: str) -> Iterator[tuple[str, str]]:
    for fingerprint in fingerprints:
        with local_copy(shard_uri(root, fingerprint, "parquet")) as path:
            table = pq.read_table(path, columns=["key", column])
        yield from zip(
            table.column("key").to_pylist(), table.column(column).to_pylist(), strict=True
        )
