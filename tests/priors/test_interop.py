"""Shards are plain WebDataset: other people's loaders read them without our code."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from priors_stubs import stub_extractor, units_of

from priors.extract import run_units_inline
from storage.shards import iter_samples
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
    ours = [s for path in shards for s in iter_samples(str(tmp_path), path.stem)]
    assert [row["__key__"] for row in rows] == [s.key for s in ours]
    for row, sample in zip(rows, ours, strict=True):
        assert row["jpg"].shape == (sample.height_px, sample.width_px, 3)
        assert row["txt"] == sample.caption
        assert row["json"]["people"][0]["score"] == sample.people[0].score
        assert row["mask.png"].shape[:2] == sample.mask.shape


@pytest.mark.ray
def test_ray_data_reads_the_shards(shards: list[Path], tmp_path: Path) -> None:
    import ray

    from priors.cluster import ray_session

    with ray_session("local"):
        dataset = ray.data.read_webdataset([str(path) for path in shards], decoder=False)
        rows = {row["__key__"]: row for row in dataset.take_all()}
    ours = [s for path in shards for s in iter_samples(str(tmp_path), path.stem)]
    assert set(rows) == {s.key for s in ours}
    for sample in ours:
        row = rows[sample.key]
        assert bytes(row["jpg"]) == sample.image_jpeg
        assert bytes(row["txt"]).decode() == sample.caption
        assert json.loads(bytes(row["json"]))["key"] == sample.key
        assert np.frombuffer(row["mask.png"], np.uint8)[:4].tobytes() == b"\x89PNG"
