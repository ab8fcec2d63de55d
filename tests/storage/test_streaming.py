"""Streaming: same order every time, exact resume, and what is broken stands in nobody's way."""

import gzip
import shutil
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from storage.errors import ShardError, VersionError
from storage.statistics import ShardCount
from storage.streaming import Cursor, SampleStream, split_size
from storage.versions import publish_version


@pytest.fixture
def version(tmp_path, fill_root):
    return publish_version(str(tmp_path), fill_root(str(tmp_path), 4), config={})


def _stream(version, seed=1) -> SampleStream:
    return SampleStream(version, split="train", seed=seed)


def _places(version, n=None, *, skip=0, epoch=0, seed=1):
    places = _stream(version, seed).places(Cursor(epoch=epoch, offset=skip))
    n = split_size(version, "train") - skip if n is None else n
    return [place for place, _ in islice(places, n)]


def _keys(version, **options) -> list[str]:
    return [place.read().key for place in _places(version, **options)]


def _readable(place) -> list[str]:
    """Keys of the stand-ins that can be read, in their order."""
    keys = []
    for other in place.stand_ins():
        try:
            keys.append(other.read().key)
        except ShardError:
            continue
    return keys


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


def test_facts_are_those_of_the_samples(version):
    for place in _places(version):
        sample = place.read()
        assert place.facts() == (sample.key, sample.width_px, sample.height_px)


@pytest.mark.parametrize("skip", [0, 1, 9, 16, 17])
def test_skip_resumes_exactly(version, skip):
    assert _keys(version, skip=skip) == _keys(version)[skip:]


def test_epochs_follow_each_other_from_any_cursor(version):
    size = split_size(version, "train")
    whole = list(islice(_stream(version).places(), 3 * size))
    assert [place.epoch for place, _ in whole] == [0] * size + [1] * size + [2] * size
    for stop in (1, size - 1, size, size + 1):
        rest = list(islice(_stream(version).places(whole[stop - 1][1]), size))
        assert [p.facts() for p, _ in rest] == [p.facts() for p, _ in whole[stop : stop + size]]
        assert [after for _, after in rest] == [after for _, after in whole[stop : stop + size]]


def test_what_is_not_read_is_not_opened(version):
    expected = _keys(version)
    places = _places(version)
    first = places[0].shard
    n_first = sum(place.shard == first for place in places)
    Path(first).unlink()
    assert _keys(version, skip=n_first) == expected[n_first:]
    again = _places(version)
    assert [place.facts().key for place in again] == expected  # its rows still tell
    with pytest.raises(ShardError, match=Path(first).name):
        again[0].read()


def test_samples_are_complete(version):
    sample = _places(version, 1)[0].read()
    assert sample.mask.shape == (6, 8)
    assert sample.mask.max() == 1
    assert sample.people[0].passes_gate
    assert sample.image_jpeg[:2] == b"\xff\xd8"


def test_a_split_without_samples_is_refused_at_once(version):
    empty = replace(version, counts=tuple(ShardCount(train=0, val=1) for _ in version.counts))
    with pytest.raises(VersionError, match=f"{version.id}.*no train samples"):
        _stream(empty)


def test_exclusions_are_honoured(tmp_path, version):
    out = _keys(version)[:5]
    fewer = publish_version(str(tmp_path), version.shards, config={}, exclusions=out)
    assert sorted(_keys(fewer)) == sorted(set(_keys(version)) - set(out))


def test_from_an_object_store(tmp_path, fill_root, version):
    root = f"memory://stream-{tmp_path.name}"
    remote = publish_version(root, fill_root(root, 4), config={})
    assert _keys(remote) == _keys(version)


def _lose(tar: Path) -> None:
    tar.unlink()


def _lose_rows_too(tar: Path) -> None:
    tar.unlink()
    tar.with_suffix(".parquet").unlink()


def _make_a_folder(tar: Path) -> None:
    tar.unlink()
    tar.mkdir()


def _fill_with_noise(tar: Path) -> None:
    tar.write_bytes(bytes(range(256)) * 40)


def _pack(tar: Path) -> None:
    tar.write_bytes(gzip.compress(tar.read_bytes()))


def _empty(tar: Path) -> None:
    tar.write_bytes(b"")


@pytest.mark.parametrize(
    "harm", [_lose, _lose_rows_too, _make_a_folder, _fill_with_noise, _pack, _empty]
)
def test_the_next_shard_stands_in_for_one_that_is_gone(version, harm):
    expected = _keys(version)
    places = _places(version)
    gone = {place.facts().key for place in places if place.shard == places[0].shard}
    harm(Path(places[0].shard))
    stand_ins = Counter[str]()
    for place, key in zip(_places(version), expected, strict=True):
        if key not in gone:
            assert place.read().key == key
            continue
        with pytest.raises(ShardError, match=Path(place.shard).name):
            place.read()
        found = _readable(place)
        assert found
        stand_ins[found[0]] += 1
        assert not gone & set(found)
    assert len(stand_ins) > len(gone) // 2  # many of them, not one over and over


def test_a_tar_that_was_cut_gives_what_lies_before_the_cut(version):
    places = _places(version)
    tar = Path(places[0].shard)
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    read, lost = 0, 0
    for place in _places(version):
        try:
            place.read()
            read += 1
        except ShardError:
            lost += 1
            assert place.shard == str(tar)
            assert _readable(place)
    assert lost
    assert read > sum(place.shard != str(tar) for place in places)


def test_lost_rows_are_made_up_for_by_the_tar(version):
    expected = _keys(version)
    for shard in version.shards:
        Path(version.root.shard(shard, "parquet")).write_bytes(b"broken")
    places = _places(version)
    assert [place.read().key for place in places] == expected
    assert {place.facts()[1:] for place in places} == {(0, 0)}


def test_a_shard_of_another_length_is_left_out_as_a_whole(version):
    one, other = sorted(version.shards)[:2]
    for suffix in ("tar", "parquet"):  # another shard under its name, and a version that lies
        shutil.copy(version.root.shard(other, suffix), version.root.shard(one, suffix))
    index = version.shards.index(one)
    counts = list(version.counts)
    counts[index] = ShardCount(train=counts[index].train + 1, val=0)
    wrong = replace(version, counts=tuple(counts))
    places = [place for place in _places(wrong) if one in place.shard]
    for place in places:
        with pytest.raises(ShardError, match=r"expected \d+ train samples, got"):
            place.read()
        assert _readable(place)


def test_where_nothing_can_be_read_nothing_stands_in(version):
    for shard in version.shards:
        Path(version.root.shard(shard, "tar")).unlink()
    assert all(_readable(place) == [] for place in _places(version))


class Counted(tuple[ShardCount, ...]):
    """Counts of shards that count how often they are looked at."""

    looks = 0

    def __iter__(self):
        Counted.looks += len(self)
        return super().__iter__()


def test_the_work_is_linear_in_the_number_of_shards(version):
    n = 10_000
    counts = Counted([version.counts[0]] * n)
    many = replace(version, shards=(version.shards[0],) * n, counts=counts)
    Counted.looks = 0
    far = split_size(many, "train") - 50 * counts[0].train
    keys = _keys(many, skip=far)
    assert len(keys) == 50 * counts[0].train  # of 50 shards, each opened
    assert Counted.looks <= 5 * n
