"""A small dataset version, a tiny base on disk, and the version's cache."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hcp.training.batches import Batch, LoaderState, collate, iter_batches
from hcp.training.cache import base_parts, cache_settings
from hcp.training.cache_read import CacheReader
from hcp.training.cache_write import CacheWriter
from hcp.training.config import CacheConfig, DataConfig, TrainConfig
from storage.caches import Cache
from storage.codec import split_of
from storage.layout import Place, Root
from storage.records import Sample, SourceRecord, Unit
from storage.shards import commit_unit
from storage.streaming import SampleStream
from storage.versions import DatasetVersion, publish_version
from tests.hcp.samples import make_sample

CAPTIONS = ("a woman doing yoga", "a man on the left of a dog", "a red car", "a man with a sign")
CONFIG = TrainConfig(
    batch_size=2,
    data=DataConfig(resolution_px=32, caption_dropout=0.2, decode_threads=1),
    cache=CacheConfig(use="required", dtype="float32", batch_size=3),
)


def samples(n: int, *, sizes_px: Sequence[tuple[int, int]] = ((96, 96),)) -> list[Sample]:
    """Samples of the train split with different captions."""
    drawn = (
        make_sample(i, caption=CAPTIONS[i % len(CAPTIONS)], size_px=sizes_px[i % len(sizes_px)])
        for i in range(10 * n)
    )
    return [sample for sample in drawn if split_of(sample.key) == "train"][:n]


def make_version(root: Place, *shards: Sequence[Sample]) -> DatasetVersion:
    names: list[str] = []
    for shard in shards:
        records = [
            SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.sha256)
            for s in shard
        ]
        name = f"{int(shard[0].key, 16):032x}"
        commit_unit(Root.of(root), Unit(fingerprint=name, records=records), outcomes=list(shard))
        names.append(name)
    return publish_version(root, names, config={})


def write_cache(
    version: DatasetVersion, pipeline: Any, base: Path, config: TrainConfig = CONFIG
) -> Cache:
    """Encode all shards of a version."""
    settings = cache_settings(config, base_parts(str(base)))
    cache = Cache(root=version.root, settings=settings, facts={"base": base.name})
    writer = CacheWriter(pipeline, config, cache)
    for name in version.shards:
        writer.write(name)
    return writer.cache


def stream(
    version: DatasetVersion,
    tokenizer: Any,
    *,
    cache: Cache | None = None,
    config: TrainConfig = CONFIG,
    state: LoaderState | None = None,
) -> Iterator[tuple[Batch, LoaderState]]:
    """Batches of photos, or of what is cached of them."""
    opened = None if cache is None else CacheReader(cache).open
    return iter_batches(
        SampleStream(version, split="train", seed=config.seed, open_shard=opened),
        lambda examples: collate(examples, tokenizer=tokenizer),
        batch_size=config.batch_size,
        config=config.data,
        seed=config.seed,
        state=state,
    )


def with_data(config: TrainConfig, **changes: Any) -> TrainConfig:
    return replace(config, data=replace(config.data, **changes))
