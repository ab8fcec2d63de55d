"""A small dataset version and a base on disk, as a training finds them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline

from storage.canonical import key_of
from storage.codec import split_of
from storage.layout import Root
from storage.records import SourceRecord, Unit
from storage.shards import commit_unit
from storage.versions import DatasetVersion, publish_version
from tests.hcp.samples import make_sample

CAPTIONS = ("a woman doing yoga", "two people dancing", "a red car", "a man running with a dog")

MakeDataset = Callable[..., DatasetVersion]


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """A version of so many shards, each of so many drawn photos to train on and to validate on."""

    def make(n_shards: int, n_each: int, n_val: int = 0) -> DatasetVersion:
        root, units = Root.of(tmp_path / f"data-{n_shards}-{n_each}-{n_val}"), list[Unit]()
        numbers = iter(range(10**6))
        for shard in range(n_shards):
            samples, wanted = [], {"train": n_each, "val": n_val}
            while any(wanted.values()):
                i = next(numbers)
                key = key_of(f"{i}.jpg")
                if wanted[split_of(key)]:
                    wanted[split_of(key)] -= 1
                    samples.append(replace(make_sample(i, caption=CAPTIONS[i % 4]), key=key))
            records = [
                SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.sha256)
                for s in samples
            ]
            unit = Unit(fingerprint=f"{shard:032x}", records=records)
            commit_unit(root, unit, outcomes=samples)
            units.append(unit)
        return publish_version(root.uri, [unit.fingerprint for unit in units], config={})

    return make


@pytest.fixture
def dataset(make_dataset: MakeDataset) -> DatasetVersion:
    """Eight photos in one shard."""
    return make_dataset(1, 8)


@pytest.fixture
def base(pipeline: StableDiffusionPipeline, tmp_path: Path) -> str:
    """The tiny pipeline's folder."""
    pipeline.save_pretrained(tmp_path / "base")
    return str(tmp_path / "base")
