"""Samples for training: one order for all readers, the same every time, read where it is wanted.

The order is made of places, which cost nothing; the photo of a place is read by whoever trains on
it, in any thread. A place whose sample cannot be read keeps its position: :meth:`Place.stand_ins`
names others of the same version, always the same ones.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple, Protocol

from storage.codec import split_of
from storage.errors import ShardError, VersionError
from storage.extras import explained_imports
from storage.records import Sample, Split
from storage.shard_cache import Readable, ShardCache
from storage.shard_reader import open_rows
from storage.versions import DatasetVersion

_STAND_INS = 8  # tried in each of so many shards; after them the version counts as unreadable
_SHARD_FACTS = 8  # shards whose keys and sizes are remembered


class Facts(NamedTuple):
    """What is known of a sample before it is read; sizes are 0 where the shard's rows are lost."""

    key: str
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A position of a stream, as the samples before it."""

    epoch: int = 0
    offset: int = 0  # samples of `epoch`
    others: tuple[int, ...] = ()  # samples of each further version of a mix (storage.mixing)


class Place(Protocol):
    """Where a sample stands in the order of a stream."""

    @property
    def epoch(self) -> int:
        """The pass over the samples, from 0."""
        ...

    @property
    def shard(self) -> str:
        """Where it lies, for a message."""
        ...

    def facts(self) -> Facts:
        """Its key and size; ShardError where they cannot be known."""
        ...

    def read(self) -> Sample:
        """The sample; ShardError where it cannot be read."""
        ...

    def stand_ins(self) -> Iterator["Place"]:
        """Places whose samples may take this one's position, in the order to try them."""
        ...


class SampleStream:
    """The samples of a version's split, epoch after epoch.

    Shards are shuffled by (seed, epoch), then the samples inside each. Memory holds the keys of a
    few shards, and no sample.
    """

    def __init__(
        self,
        version: DatasetVersion,
        *,
        split: Split,
        seed: int,
        open_shard: Callable[[str], Readable] | None = None,
    ) -> None:
        """Prepare to read; opens nothing.

        Args:
            version: whose samples.
            split: which of them.
            seed: of the order.
            open_shard: opens a shard elsewhere than among the version's own, such as in a cache.
        Raises:
            VersionError: the split has no sample.
        """
        self.version, self.split, self.seed = version, split, seed
        self.counts = [getattr(count, split) for count in version.counts]
        self.size = sum(self.counts)
        if self.size == 0:
            raise VersionError(f"version {version.id} in {version.root} has no {split} samples")
        self.shards = ShardCache(version.root, open_shard=open_shard)
        self.order = lru_cache(maxsize=3)(self._order)
        self.facts = lru_cache(maxsize=_SHARD_FACTS)(self._facts)

    def places(self, cursor: Cursor | None = None) -> Iterator[tuple["StoredPlace", Cursor]]:
        """Endless places after a position, each with the position after it."""
        cursor = cursor or Cursor()
        epoch, first = cursor.epoch, cursor.offset
        while True:
            for turn, start, count in self._turns(epoch):
                for index in range(max(0, first - start), count):
                    place = StoredPlace(stream=self, epoch=epoch, turn=turn, index=index)
                    yield place, Cursor(epoch=epoch, offset=start + index + 1)
            epoch, first = epoch + 1, 0

    def _turns(self, epoch: int) -> Iterator[tuple[int, int, int]]:
        """(place in the epoch's order, samples before it, its samples) of each shard."""
        start = 0
        for turn, shard in enumerate(self.order(epoch)):
            yield turn, start, self.counts[shard]
            start += self.counts[shard]

    def _order(self, epoch: int) -> list[int]:
        """The shards of an epoch, as indices of the version's list."""
        order = list(range(len(self.counts)))
        # A str seed is hashed with SHA-512 by `random`: the same order on every machine.
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return order

    def _facts(self, epoch: int, shard: int) -> list[Facts]:
        """A shard's samples in the epoch's order."""
        facts = self._listed(shard)
        random.Random(f"{self.seed}/{epoch}/{self.version.shards[shard]}").shuffle(facts)
        return facts

    def _listed(self, shard: int) -> list[Facts]:
        """A shard's usable samples in its own order, from its rows, else from its tar."""
        fingerprint, expected = self.version.shards[shard], self.counts[shard]
        facts = self._usable(_rows(self.version, fingerprint))
        if len(facts) != expected:
            tar = self.shards[fingerprint]
            facts = self._usable(Facts(key, 0, 0) for key in tar.list_keys())
            if len(facts) != expected:
                got = f"expected {expected} {self.split} samples, got {len(facts)}"
                raise ShardError(f"{tar.uri}: {got}")
        return facts

    def _usable(self, facts: Iterable[Facts]) -> list[Facts]:
        out = self.version.exclusions
        return [each for each in facts if split_of(each.key) == self.split and each.key not in out]


def _rows(version: DatasetVersion, fingerprint: str) -> Iterator[Facts]:
    with explained_imports():
        import pyarrow as pa
    try:
        rows = open_rows(version.root, [fingerprint], "parquet")
        columns = rows.to_table(columns=list(Facts._fields)).to_pydict()
    except (OSError, pa.ArrowException):  # the tar has the keys too
        return
    yield from map(Facts, *(columns[name] for name in Facts._fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlace:
    """A place of a version's stream."""

    stream: SampleStream
    epoch: int
    turn: int  # place of its shard in the epoch's order
    index: int  # place in the shard's own order of this epoch

    @property
    def shard(self) -> str:
        """The tar's location."""
        version = self.stream.version
        return version.root.shard(version.shards[self._shard], "tar")

    def facts(self) -> Facts:
        """The sample's key and size.

        Raises:
            ShardError: neither the shard's rows nor its tar list as many as the version says.
        """
        return self.stream.facts(self.epoch, self._shard)[self.index]

    def read(self) -> Sample:
        """The sample; only its own bytes are read and decoded.

        Raises:
            ShardError: the shard or the sample is missing or broken.
        """
        shard = self.stream.shards[self.stream.version.shards[self._shard]]
        return shard.sample(self.facts().key)

    def stand_ins(self) -> Iterator["StoredPlace"]:
        """The next samples of the same shard, then those at the same place of the next shards.

        A shard that is gone is so replaced by the whole of the next one, not by one sample.
        """
        counts = self.stream.counts
        order = self.stream.order(self.epoch)
        turns = chain(range(self.turn, len(order)), range(self.turn))
        for turn in islice((t for t in turns if counts[order[t]]), _STAND_INS):
            count, own = counts[order[turn]], turn == self.turn
            for step in range(own, min(_STAND_INS + own, count)):
                yield replace(self, turn=turn, index=(self.index + step) % count)

    @property
    def _shard(self) -> int:
        return self.stream.order(self.epoch)[self.turn]


def split_size(version: DatasetVersion, split: Split) -> int:
    """Number of usable samples of a split."""
    return sum(getattr(count, split) for count in version.counts)
