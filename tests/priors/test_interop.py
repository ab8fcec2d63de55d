"""Shards are plain WebDataset: other people's loaders read them without our code."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from priors_stubs import stub_extractor, units_of

from priors.extract import run_units_inline
from storage.layout import Root
from storage.shard_reader import iter_samples
from storage.sources import Source

Photos = Callable[[Sequence[int]], Source]


@pytest.fixture
def shards(photos: Photos, tmp_path: Path) -> list[Path]:
    source = photos([1, 2, 0, 1, 3, 1, 1])
    units = units_of(source, size=3)
    run_units_inline(
        units,
        make_extractor=lambda: stub_extractor(source, tmp_path),
        on_report=lambda _: None,
    )
    return [tmp_path / "shards" / f"{unit.fingerprint}.tar" for unit in units]


def test_plain_webdataset_reads_the_shards(shards: list[Path], tmp_path: Path) -> None:
    import webdataset as wds

    paths = [str(path) for path in shards]
    rows = list(wds.WebDataset(paths, shardshuffle=False).decode("rgb8"))
    ours = [s for path in shards for s in iter_samples(Root.of(tmp_path), path.stem)]
    assert [row["__key__"] for row in rows] == [s.key for s in ours]
    for row, sample in zip(rows, ours, strict=True):
        assert row["jpg"].shape == (sample.height_px, sample.width_px, 3)
        assert row["txt"] == sample.caption
        assert row["json"]["people"][0]["score"] == sample.people[0].score
        assert row["mask.png"].shape[:2] == sample.mask.shape


@pytest.mark.ray
def test_ray_data_reads_the_shards(shards: list[Path], tmp_path: Path) -> None:
    import ray

    from flows.ray_session import ray_session

    paths = [str(path) for path in shards]
    with ray_session("local"):
        raw = ray.data.read_webdataset(paths, decoder=None).take_all()
        decoded = ray.data.read_webdataset(paths[:1]).take_all()
    ours = {s.key: s for path in shards for s in iter_samples(Root.of(tmp_path), path.stem)}
    assert {row["__key__"] for row in raw} == set(ours)
    for row in raw:
        sample = ours[row["__key__"]]
        assert bytes(row["jpg"]) == sample.image_jpeg
        assert bytes(row["txt"]).decode() == sample.caption
        assert json.loads(bytes(row["json"]))["key"] == sample.key
        assert bytes(row["mask.png"]).startswith(b"\x89PNG")
    for row in decoded:
        sample = ours[row["__key__"]]
        assert np.asarray(row["jpg"]).shape == (sample.height_px, sample.width_px, 3)
        assert row["txt"] == sample.caption
        assert row["json"]["phash"] == sample.phash
