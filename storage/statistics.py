"""What a version's card says about its samples, computed in one pass over parquet columns."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

_SIZE_BIN_PX = 256
_CAPTION_BIN_CHARS = 50
_COLUMNS = ["key", "sha256", "width_px", "height_px", "n_people_passing", "caption_chars", "split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCount:
    """Usable samples of one shard."""

    train: int
    val: int


def summarise(
    shards: Iterable[Any], exclusions: frozenset[str]
) -> tuple[list[ShardCount], dict[str, Any]]:
    """Counts per shard and the statistics of all samples that are not excluded.

    Args:
        shards: one ``pyarrow.dataset`` per shard; memory does not grow with their number.
        exclusions: keys to leave out of the counts (duplicates are counted with them).
    """
    counts: list[ShardCount] = []
    n_duplicates = 0
    people, sizes, captions = Counter[int](), Counter[int](), Counter[int]()
    with closing(Digests()) as digests:
        for shard in shards:
            splits = Counter[str]()
            for batch in shard.to_batches(columns=_COLUMNS):
                columns = {name: batch.column(name).to_pylist() for name in _COLUMNS}
                n_duplicates += digests.repeats(*columns["sha256"])
                keep = [key not in exclusions for key in columns["key"]]
                people.update(_kept(columns["n_people_passing"], keep))
                captions.update(_kept(columns["caption_chars"], keep))
                longer = map(max, columns["width_px"], columns["height_px"])
                sizes.update(_kept(list(longer), keep))
                splits.update(_kept(columns["split"], keep))
            counts.append(ShardCount(train=splits["train"], val=splits["val"]))
        return counts, {
            "n_train": sum(count.train for count in counts),
            "n_val": sum(count.val for count in counts),
            "n_excluded": len(exclusions),
            "people_per_image": _histogram(people, 1),
            "longer_side_px": _histogram(sizes, _SIZE_BIN_PX),
            "caption_chars": _histogram(captions, _CAPTION_BIN_CHARS),
            "exact_duplicates": n_duplicates,
        }


class Digests:
    """Digests seen so far, on disk so that memory stays flat."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", check_same_thread=False)
        self._database.execute("CREATE TABLE seen (digest TEXT PRIMARY KEY) WITHOUT ROWID")

    def repeats(self, *digests: str) -> int:
        """How many of them were seen before; now all of them are."""
        rows = ((digest,) for digest in digests)
        insert = "INSERT OR IGNORE INTO seen VALUES (?)"
        return len(digests) - self._database.executemany(insert, rows).rowcount

    def close(self) -> None:
        """Forget them."""
        self._database.close()


def _kept(values: list[Any], keep: list[bool]) -> list[Any]:
    return [value for value, kept in zip(values, keep, strict=True) if kept]


def _histogram(values: Counter[int], bin_width: int) -> dict[str, int]:
    """Count per bin, named by the bin's lower edge, in order."""
    bins = Counter[int]()
    for value, count in values.items():
        bins[value // bin_width * bin_width] += count
    return {str(edge): bins[edge] for edge in sorted(bins)}
