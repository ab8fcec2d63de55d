"""Which versions a training has, how much of each, and what is told before it starts."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from hcp.training.config import DataConfig, Mixed, TrainConfig
from hcp.training.mix import check_data, mix_name, mixed_stream, open_mix, settle_mix
from storage.canonical import key_of
from storage.codec import split_of
from storage.errors import VersionError
from storage.layout import Root
from storage.records import Sample, SourceRecord, Split, Unit
from storage.shards import commit_unit
from storage.streaming import SampleStream
from storage.versions import DatasetVersion, publish_version
from tests.hcp.samples import make_person, make_sample

Publish = Callable[..., DatasetVersion]


def commit(root: Path, name: str, samples: Sequence[Sample]) -> DatasetVersion:
    records = [
        SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.sha256) for s in samples
    ]
    unit = Unit(fingerprint=key_of(name) * 2, records=records)
    commit_unit(Root.of(root), unit, outcomes=list(samples))
    return publish_version(str(root), [unit.fingerprint], config={})


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """A version of so many photos of one split, below a folder of its own."""

    def make(name: str, n: int = 4, *, split: Split = "train", **options: object) -> DatasetVersion:
        keys = (key for i in range(9999) if split_of(key := key_of(f"{name}{i}")) == split)
        made = [make_sample(i, size_px=(24, 24), **options) for i in range(n)]  # type: ignore[arg-type]
        samples = [replace(sample, key=next(keys)) for sample in made]
        return commit(tmp_path / name, name, samples)

    return make


def settings(*also: Mixed, method: str = "hcp") -> TrainConfig:
    return TrainConfig(method=method, data=DataConfig(also=also))


def rate(version: DatasetVersion, config: TrainConfig, n: int) -> float:
    """Share of the first n samples that come from versions mixed in."""
    streams = [
        SampleStream(each, split="train", seed=0) for each in open_mix(version, config.data.also)
    ]
    stream = mixed_stream(streams, config.data.also)
    shards = [place.shard for place, _ in islice(stream.places(), n)]
    return sum(str(version.root) not in shard for shard in shards) / n


def test_repeats_count_passes_and_weights_count_samples(publish: Publish) -> None:
    one, two = publish("one", 6), publish("two", 3)
    name = f"{two.root}@{two.id}"
    assert rate(one, settings(Mixed(dataset=name)), 90) == pytest.approx(3 / 9)
    assert rate(one, settings(Mixed(dataset=name, repeats=4)), 90) == pytest.approx(12 / 18)
    assert rate(one, settings(Mixed(dataset=name, weight=0.25)), 100) == pytest.approx(1 / 5)
    assert rate(one, settings(), 20) == 0


def test_latest_is_looked_up_once(publish: Publish, tmp_path: Path) -> None:
    one, two = publish("one"), publish("two")
    settled = settle_mix(settings(Mixed(dataset=str(two.root), repeats=2)))
    assert settled.data.also == (Mixed(dataset=f"{two.root}@{two.id}", repeats=2),)
    later = commit(tmp_path / "two", "later", [replace(make_sample(7), key=key_of("later"))])
    assert later.id != two.id
    assert [v.id for v in open_mix(one, settled.data.also)] == [one.id, two.id]
    assert mix_name(one.id, settled.data.also) == f"{one.id} + {two.id} (repeats 2)"
    assert mix_name(one.id, ()) == one.id


def test_what_cannot_be_mixed_is_said(publish: Publish, tmp_path: Path) -> None:
    one, held = publish("one"), publish("held", split="val")
    for dataset, message in [
        (f"{one.root}@{one.id}", "named twice"),
        (str(held.root), "no train samples"),
        (f"{one.root}@0000000000000000", "no version '0000000000000000'"),
        (str(tmp_path / "nowhere"), "no data set version"),
    ]:
        with pytest.raises(VersionError, match=message):
            check_data(one, settings(Mixed(dataset=dataset)))
    with pytest.raises(ValueError, match="give one"):
        Mixed(dataset="a", weight=1, repeats=2)
    for wrong in ({"weight": 0}, {"repeats": -1}, {"weight": float("nan")}):
        with pytest.raises(ValueError, match="must be > 0"):
            Mixed(dataset="a", **wrong)


def test_data_without_people_is_refused_before_the_start(publish: Publish) -> None:
    nobody = publish("nobody", people=(), caption="a woman")
    weak = publish("weak", people=(make_person(passes_gate=False),))
    wordless = publish("wordless", caption="a sunny street")
    for version, message in [
        (nobody, "shows a person who passed the gate"),
        (weak, "shows a person"),
        (wordless, "has a caption with a human word"),
    ]:
        for method in ("hcp", "hcp+value", "attention", "region"):
            with pytest.raises(VersionError, match=message):
                check_data(version, settings(method=method))
        for method in ("lora", "full"):
            check_data(version, settings(method=method))
    people = publish("people")
    check_data(people, settings())
    check_data(nobody, settings(Mixed(dataset=str(people.root), weight=0.1)))  # over the mix
    with pytest.raises(VersionError, match=f"{nobody.id}.*{weak.id}"):
        check_data(nobody, settings(Mixed(dataset=str(weak.root))))


def test_the_look_at_people_passes_over_rows_that_are_lost(publish: Publish) -> None:
    version = publish("one")
    Path(version.root.shard(version.shards[0], "parquet")).write_bytes(b"lost")
    check_data(version, settings())
