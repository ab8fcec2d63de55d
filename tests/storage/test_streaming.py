"""Streaming: same order every time, equal shares, exact resume."""

from dataclasses import replace
from itertools import islice

import pytest

from storage.errors import ShardError, VersionError
from storage.statistics import ShardCount
from storage.streaming import split_size, stream_samples
from storage.versions import publish_version


@pytest.fixture
def version(tmp_path, fill_root):
    return publish_version(str(tmp_path), fill_root(str(tmp_path), 4), config={})


def _keys(version, **options) -> list[str]:
    options = {"split": "train", "seed": 1, "epoch": 0} | options
    return [sample.key for sample in stream_samples(version, **options)]


def test_an_epoch_is_every_sample_of_the_split_once(version):
    expected = sorted(sample.key for sample in version.iter_samples("train"))
    assert sorted(_keys(version)) == expected
    assert len(expected) == split_size(version, "train")


def test_order_follows_seed_and_epoch_alone(version):
    first = _keys(version)
    assert first == _keys(version)
    orders = {tuple(first), tuple(_keys(version, epoch=1)), tuple(_keys(version, seed=2))}
    assert len(orders) == 3
    in_shards = [sample.key for sample in version.iter_samples("train")]
    assert first != in_shards


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_ranks_have_equal_counts_and_nothing_twice(version, world_size):
    parts = [_keys(version, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert {len(part) for part in parts} == {split_size(version, "train") // world_size}
    together = [key for part in parts for key in part]
    assert len(set(together)) == len(together)
    assert together == _keys(version)[: len(together)]


@pytest.mark.parametrize("skip", [0, 1, 9, 16, 17, 10_000])
def test_skip_resumes_exactly(version, skip):
    assert (
        _keys(version, world_size=2, rank=1, skip=skip)
        == (_keys(version, world_size=2, rank=1)[skip:])
    )


def test_skipped_shards_are_not_opened(tmp_path, version):
    whole = _keys(version)
    shard_of = {
        sample.key: name
        for name in version.shards
        for sample in publish_version(str(tmp_path), [name], config={}).iter_samples()
    }
    first = shard_of[whole[0]]
    n_first = sum(shard_of[key] == first for key in whole)
    (tmp_path / f"shards/{first}.tar").unlink()
    assert _keys(version, skip=n_first) == whole[n_first:]
    with pytest.raises(ShardError, match=first):
        _keys(version)


def test_samples_are_complete(version):
    (sample,) = islice(stream_samples(version, split="train", seed=0, epoch=0), 1)
    assert sample.mask.shape == (6, 8)
    assert sample.mask.max() == 1
    assert sample.people[0].passes_gate
    assert sample.image_jpeg[:2] == b"\xff\xd8"


def test_too_few_samples_for_the_ranks_is_refused_at_once(version):
    with pytest.raises(VersionError, match="too few for 1000 ranks"):
        stream_samples(version, split="train", seed=0, epoch=0, world_size=1000)
    for wrong in ({"rank": 1}, {"rank": -1}, {"skip": -1}):
        with pytest.raises(ValueError, match="rank="):
            stream_samples(version, split="train", seed=0, epoch=0, **wrong)


def test_exclusions_are_honoured(tmp_path, version):
    out = _keys(version)[:5]
    fewer = publish_version(str(tmp_path), version.shards, config={}, exclusions=out)
    assert sorted(_keys(fewer)) == sorted(set(_keys(version)) - set(out))


def test_from_an_object_store(tmp_path, fill_root, version):
    root = f"memory://stream-{tmp_path.name}"
    remote = publish_version(root, fill_root(root, 4), config={})
    assert _keys(remote) == _keys(version)


class Counted(tuple[ShardCount, ...]):
    """Counts of shards that count how often they are looked at."""

    looks = 0

    def __iter__(self):
        Counted.looks += len(self)
        return super().__iter__()

    def __getitem__(self, index):
        Counted.looks += 1
        return super().__getitem__(index)


def test_the_work_is_linear_in_the_number_of_shards(version):
    n = 10_000
    counts = Counted([version.counts[0]] * n)
    many = replace(version, shards=(version.shards[0],) * n, counts=counts)
    Counted.looks = 0
    size = split_size(many, "train")
    far = size - 50 * counts[0].train
    keys = [s.key for s in stream_samples(many, split="train", seed=0, epoch=0, skip=far)]
    assert len(keys) == 50 * counts[0].train  # of 50 shards, each opened
    assert Counted.looks <= 5 * n
