"""Samples for training: shuffled the same way every time, evenly over ranks, resumable."""

import random
from collections.abc import Iterator

from storage.codec import split_of
from storage.errors import ShardError, VersionError
from storage.records import Sample, Split
from storage.shard_reader import Shard, open_shard
from storage.versions import DatasetVersion


def split_size(version: DatasetVersion, split: Split) -> int:
    """Number of usable samples of a split."""
    return sum(_count(version, split))


def stream_samples(
    version: DatasetVersion,
    *,
    split: Split,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    skip: int = 0,
) -> Iterator[Sample]:
    """One rank's samples of one epoch.

    Shards are shuffled by (seed, epoch), then the samples inside each; every rank takes a
    contiguous run of that one order, ``split_size // world_size`` long, so that all have the same
    count even where shards are few. What is skipped or belongs to others is neither decoded nor,
    where a whole shard is, opened. Memory holds one sample.

    Args:
        version: the data set version.
        split: which split.
        seed: of the run.
        epoch: of the run, from 0.
        rank: this reader, in [0, world_size).
        world_size: number of readers.
        skip: samples of this epoch that this rank has had already.

    Raises:
        VersionError: fewer samples than ranks: some would get none and wait for ever.
        ValueError: rank, world_size or skip are out of range.
        ShardError: while iterating, where a shard is missing or broken.
    """
    if not 0 <= rank < world_size or skip < 0:
        raise ValueError(f"got rank={rank}, world_size={world_size}, skip={skip}")
    share = split_size(version, split) // world_size
    if share == 0:
        raise VersionError(
            f"version {version.id} in {version.root} has {split_size(version, split)} "
            f"{split} samples, too few for {world_size} ranks"
        )
    start = rank * share
    return _run(version, split, f"{seed}/{epoch}", start + min(skip, share), start + share)


def _run(
    version: DatasetVersion, split: Split, salt: str, start: int, end: int
) -> Iterator[Sample]:
    """Positions [start, end) of the epoch's order."""
    counts = _count(version, split)
    order = list(range(len(version.shards)))
    # A str seed is hashed with SHA-512 by `random`: the same order on every machine.
    random.Random(salt).shuffle(order)
    first = 0
    for index in order:
        last = first + counts[index]
        lo, hi = max(start, first), min(end, last)
        if lo < hi:
            with open_shard(version.root, version.shards[index], at_will=True) as shard:
                keys = _keys(version, shard, split, expected=counts[index])
                random.Random(f"{salt}/{version.shards[index]}").shuffle(keys)
                for key in keys[lo - first : hi - first]:
                    yield shard.sample(key)
        first = last


def _keys(version: DatasetVersion, shard: Shard, split: Split, *, expected: int) -> list[str]:
    keys = [k for k in shard.list_keys() if split_of(k) == split and k not in version.exclusions]
    if len(keys) != expected:
        raise ShardError(f"{shard.uri}: expected {expected} {split} samples, got {len(keys)}")
    return keys


def _count(version: DatasetVersion, split: Split) -> list[int]:
    return [count.train if split == "train" else count.val for count in version.counts]
