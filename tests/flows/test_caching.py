"""What a worker of cache-dataset does with one shard after the other, without Ray."""

from pathlib import Path

import pytest

from demo.embedded import SD_DIR
from flows.caching import CacheJob, CacheWorker, shard_units
from hcp.training.cache import base_parts, cache_settings
from storage.caches import Cache, is_cached
from storage.records import Unit
from storage.versions import DatasetVersion
from tests.hcp.training.cached import CONFIG, make_version, samples


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    """Two shards of two samples each."""
    made = samples(4)
    return make_version(tmp_path / "data", made[:2], made[2:])


@pytest.fixture
def cache(version: DatasetVersion) -> Cache:
    settings = cache_settings(CONFIG, base_parts(str(SD_DIR)))
    return Cache(root=version.root, settings=settings, facts={})


@pytest.fixture
def worker(cache: Cache) -> CacheWorker:
    return CacheJob(cache=cache, config=CONFIG, base=str(SD_DIR), device="cpu")()


def units_of(version: DatasetVersion) -> list[Unit]:
    return list(shard_units(version.root, version.shards))


def test_a_shard_is_encoded_once(
    version: DatasetVersion, cache: Cache, worker: CacheWorker
) -> None:
    first, _ = units_of(version)
    assert (first.fingerprint, len(first.records)) == (version.shards[0], 2)
    report = worker.process(first, poison=frozenset())
    assert (report.n_samples, report.skipped, report.error) == (2, False, None)
    assert [is_cached(cache, name) for name in version.shards] == [True, False]
    again = worker.process(first, poison=frozenset())
    assert (again.n_samples, again.skipped) == (2, True)
    assert worker.probe(first.records[1:]) == 1


def test_a_shard_that_cannot_be_read_is_reported_and_the_next_goes_on(
    version: DatasetVersion, worker: CacheWorker
) -> None:
    first, second = units_of(version)
    Path(version.root.shard(first.fingerprint, "tar")).write_bytes(b"gone")
    report = worker.process(first, poison=frozenset())
    assert report.n_samples == 0
    assert first.fingerprint in str(report.error)
    assert worker.process(second, poison={second.records[0].key}).bad.keys() == {
        second.records[0].key
    }
