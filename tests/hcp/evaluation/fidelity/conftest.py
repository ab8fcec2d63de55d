"""Small versions of drawn photos, by how many of them are held out."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage.canonical import key_of
from storage.codec import split_of
from storage.layout import Root
from storage.records import SourceRecord, Split, Unit
from storage.shards import commit_unit
from storage.versions import DatasetVersion, publish_version
from tests.hcp.samples import make_sample


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., DatasetVersion]:
    """A version of so many held-out photos and photos of the training, in turn."""

    def make(*, val: int = 0, train: int = 0) -> DatasetVersion:
        kinds: list[Split] = ["train"] * train + ["val"] * val
        samples = []
        for i, kind in enumerate(kinds):
            key = next(key for j in range(999) if split_of(key := key_of(f"{kind}{i}.{j}")) == kind)
            samples.append(replace(make_sample(i, size_px=(48, 32)), key=key))
        records = [
            SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.sha256)
            for s in samples
        ]
        unit = Unit(fingerprint=key_of(f"{val} {train}") * 2, records=records)
        commit_unit(Root.of(tmp_path), unit, outcomes=samples)
        return publish_version(str(tmp_path), [unit.fingerprint], config={})

    return make
