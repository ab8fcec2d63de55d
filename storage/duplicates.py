"""Keys of samples that repeat an earlier one: an exclusion list for a version."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Literal

from storage.layout import Root
from storage.shard_reader import open_rows
from storage.statistics import Digests

_PHASH_BITS = 64
MAX_DISTANCE_BITS = 7

Duplicates = Literal["keep", "exact", "perceptual"]
"""Which repeats a version leaves out: none, equal bytes, or photos that look alike too."""


def repeated_keys(
    root: Root, fingerprints: Sequence[str], kind: Duplicates, *, distance_bits: int = 0
) -> list[str]:
    """Keys of the samples that repeat an earlier one of these shards.

    Args:
        distance_bits: with ``perceptual``: bits of 64 in which the hashes may differ.
    """
    if kind == "keep":
        return []
    exact = duplicate_keys(root, fingerprints)
    if kind == "exact":
        return exact
    near = duplicate_keys(root, fingerprints, by="phash", max_distance_bits=distance_bits)
    return sorted({*near, *exact})


def duplicate_keys(
    root: Root,
    fingerprints: Sequence[str],
    *,
    by: Literal["sha256", "phash"] = "sha256",
    max_distance_bits: int = 0,
) -> list[str]:
    """Keys of all but the first sample of each photo, in shard order.

    ``sha256`` finds files with equal bytes, ``phash`` photos whose perceptual hashes differ in at
    most ``max_distance_bits`` of 64 bits (re-encoded, resized) from one that stays. Digests are
    kept on disk: memory grows with the duplicates only.

    Raises:
        ValueError: a distance below 0, above 7, or with ``sha256``.
    """
    if not 0 <= max_distance_bits <= (MAX_DISTANCE_BITS if by == "phash" else 0):
        raise ValueError(
            f"max_distance_bits must be in 0..{MAX_DISTANCE_BITS} with phash, 0 with sha256, "
            f"got {max_distance_bits} with {by}"
        )
    with closing(_Near(max_distance_bits) if max_distance_bits else Digests()) as seen:
        return [key for key, digest in _rows(root, fingerprints, by) if seen.repeats(digest)]


class _Near:
    """Hashes seen so far, on disk, found again by any of their d + 1 bands.

    Two hashes that differ in at most d bits agree in one of d + 1 bands (pigeonhole principle), so
    only hashes that share a band are compared.
    """

    def __init__(self, distance: int) -> None:
        self._distance = distance
        self._width = -(-_PHASH_BITS // (distance + 1))
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute(
            "CREATE TABLE seen (band INTEGER, value INTEGER, digest TEXT, "
            "PRIMARY KEY (band, value, digest)) WITHOUT ROWID"
        )

    def repeats(self, digest: str) -> bool:
        bits = int(digest, 16)
        mask = (1 << self._width) - 1
        bands = [(b, bits >> b * self._width & mask) for b in range(self._distance + 1)]
        query = "SELECT digest FROM seen WHERE band = ? AND value = ?"
        for band in bands:
            for (other,) in self._database.execute(query, band):
                if (bits ^ int(other, 16)).bit_count() <= self._distance:
                    return True
        rows = [(*band, digest) for band in bands]
        self._database.executemany("INSERT INTO seen VALUES (?, ?, ?)", rows)
        return False

    def close(self) -> None:
        self._database.close()


def _rows(root: Root, fingerprints: Sequence[str], column: str) -> Iterator[tuple[str, str]]:
    for fingerprint in fingerprints:
        table = open_rows(root, [fingerprint], "parquet").to_table(columns=["key", column])
        yield from zip(
            table.column("key").to_pylist(), table.column(column).to_pylist(), strict=True
        )
