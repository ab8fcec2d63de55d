"""What a worker of cache-dataset does: one shard after the other into the cache.

A module of its own: Prefect loads a deployed flow's file under another name, and what an actor
unpickles must be importable by its real one.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from hcp.training.config import TrainConfig
from priors.reports import UnitReport
from storage.caches import Cache, CachedShard, is_cached, read_cached_shard
from storage.errors import ShardError
from storage.layout import Root
from storage.records import SourceRecord, Unit
from storage.shard_reader import open_rows

if TYPE_CHECKING:
    from hcp.training.cache_write import CacheWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport(UnitReport):
    """One shard, as its worker saw it."""

    bad: Mapping[str, str] = field(default_factory=dict[str, str])  # key -> why it is not encoded
    error: str | None = None  # why the shard as a whole could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheJob:
    """Which cache is written, and with what; makes the worker inside an actor."""

    cache: Cache
    config: TrainConfig  # with a settled resolution
    base: str
    device: str = "auto"

    def __call__(self) -> "CacheWorker":
        """Load the encoders, and nothing else of the base."""
        from hcp.base import load_base
        from hcp.training.cache_write import CacheWriter
        from priors.device import resolve_device

        pipeline = load_base(self.base, device=resolve_device(self.device), without=("unet",))
        return CacheWorker(CacheWriter(pipeline, self.config, self.cache))


class CacheWorker:
    """A writer as the pool of actors uses it."""

    def __init__(self, writer: "CacheWriter") -> None:
        self._writer = writer

    def process(self, unit: Unit, *, poison: Set[str]) -> CacheReport:
        """Encode and commit one shard; one that is cached already is skipped.

        A shard that cannot be read is reported, and the others go on.

        Raises:
            CacheError: the cache cannot be written.
        """
        start, name = perf_counter(), unit.fingerprint
        skipped = is_cached(self._writer.cache, name)
        try:
            info = read_cached_shard(self._writer.cache, name) if skipped else None
            info = info or self._writer.write(name, poison=poison)
        except ShardError as error:
            return _report(name, None, perf_counter() - start, error=str(error))
        return _report(name, info, perf_counter() - start, skipped=skipped)

    def probe(self, records: Sequence[SourceRecord]) -> int:
        """Encode these samples and throw the result away."""
        wanted = {record.key for record in records}
        members = self._writer.members(records[0].content_tag, only=wanted)
        return sum(1 for _ in members)


def _report(
    name: str,
    info: CachedShard | None,
    seconds: float,
    *,
    skipped: bool = False,
    error: str | None = None,
) -> CacheReport:
    bad = {} if info is None else info.bad
    return CacheReport(
        fingerprint=name,
        n_samples=0 if info is None else info.n_samples - len(bad),
        n_rejects=len(bad),
        rejects_by_reason={"not encoded": len(bad)} if bad else {},
        stage_seconds={},
        model_seconds=0.0,
        seconds=round(seconds, 3),
        skipped=skipped,
        bad=bad,
        error=error,
    )


def shard_units(root: Root, fingerprints: Sequence[str]) -> Iterator[Unit]:
    """Committed shards as the pool's units; a record knows its shard by its content tag."""
    for fingerprint in fingerprints:
        keys: list[str] = (
            open_rows(root, [fingerprint], "parquet").to_table(["key"])["key"].to_pylist()
        )
        records = (
            SourceRecord(key=key, uri=key, caption=None, content_tag=fingerprint) for key in keys
        )
        yield Unit(fingerprint=fingerprint, records=tuple(records))
