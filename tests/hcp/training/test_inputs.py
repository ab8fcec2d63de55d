"""What a training reads, photos or a cache, for all of its versions; the parts it then needs."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline

from hcp.config import HcpConfig
from hcp.training.config import CacheConfig, Mixed, TrainConfig
from hcp.training.inputs import Inputs, open_inputs
from hcp.training.metrics import StepMetrics
from hcp.training.watching import SampleGrid, SamplesConfig, Validation, ValidationConfig
from hcp.training.worker import Place, TrainJob, train_worker
from storage.codec import split_of
from storage.errors import CacheError
from storage.streaming import split_size
from storage.versions import DatasetVersion
from tests.hcp.samples import make_sample
from tests.hcp.training.cached import CONFIG, make_version, samples, with_data, write_cache

MakePipeline = Callable[[int], StableDiffusionPipeline]


@pytest.fixture
def base(make_pipeline: MakePipeline, tmp_path: Path) -> Path:
    make_pipeline(0).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def with_use(use: str) -> TrainConfig:
    return replace(CONFIG, cache=replace(CONFIG.cache, use=use))


def test_off_reads_photos_and_required_the_cache(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    version = make_version(tmp_path / "data", samples(3))
    with pytest.raises(CacheError, match="no cache in"):
        open_inputs(version, with_use("required"), str(base))
    cache = write_cache(version, make_pipeline(0), base)
    assert open_inputs(version, with_use("off"), str(base)).without == ()
    found = open_inputs(version, with_use("required"), str(base))
    assert found.without == ("vae", "text_encoder", "text_encoder_2")
    assert found.caches[version.id].cache == cache


def test_auto_takes_the_cache_where_one_fits_and_says_why_not(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    version = make_version(tmp_path / "data", samples(3))
    write_cache(version, make_pipeline(0), base)
    caplog.set_level(logging.INFO)
    assert open_inputs(version, with_use("auto"), str(base)).caches
    other = with_data(with_use("auto"), resolution_px=64)
    assert not open_inputs(version, other, str(base)).caches
    assert "resolution_px is 32, this training has 64" in caplog.text


def test_a_mix_needs_a_cache_of_each(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    drawn = samples(6)
    one, two = make_version(tmp_path / "one", drawn[:3]), make_version(tmp_path / "two", drawn[3:])
    config = with_data(with_use("required"), also=(Mixed(dataset=f"{two.root}@{two.id}"),))
    write_cache(one, make_pipeline(0), base)
    with pytest.raises(CacheError, match=f"no cache in {two.root}"):
        open_inputs(one, config, str(base))
    write_cache(two, make_pipeline(0), base)
    places = open_inputs(one, config, str(base)).stream(config).places()
    found = {next(places)[0].read().key for _ in range(6)}
    assert found == {sample.key for sample in drawn}


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    """Some training photos, and one that is held out."""
    made = (make_sample(i) for i in range(1000))
    val = next(sample for sample in made if split_of(sample.key) == "val")
    return make_version(tmp_path / "data", [*samples(4), val])


@pytest.mark.parametrize("method", ["hcp", "lora", "region"])
def test_a_worker_trains_validates_and_draws_from_a_cache_as_from_photos(
    method: str, make_pipeline: MakePipeline, base: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    assert split_size(version, "val") == 1
    write_cache(version, make_pipeline(0), base)
    seen: dict[str, list[StepMetrics | Validation | SampleGrid]] = {}
    for use in ("off", "required"):
        config = replace(
            with_use(use), steps=3, method=method, learning_rate=1e-3, hcp=HcpConfig(width=16),
            validation=ValidationConfig(every=3, photos=1),
            samples=SamplesConfig(every=3, prompts=("a woman",), seeds=(0,), steps=1),
        )  # fmt: skip
        job = TrainJob(
            config=config, root=str(version.root), version=version.id, base=str(base),
            run=str(tmp_path / use),
        )  # fmt: skip
        told: list[tuple[str, object]] = []
        end = train_worker(job, Place(), lambda kind, what, told=told: told.append((kind, what)))
        assert end.error is None
        seen[use] = told
    for (kind, photos), (other, cached) in zip(*seen.values(), strict=True):
        assert kind == other
        if kind == "step":
            for name in ("loss", "denoise", "alignment", "grad_norm"):
                assert cached[name] == pytest.approx(photos[name], rel=1e-3, abs=1e-7), name
        elif isinstance(cached, Validation):
            assert cached.loss == pytest.approx(photos.loss, rel=1e-4)
        else:
            assert isinstance(cached, SampleGrid)
    kinds = [type(what) for _, what in seen["required"]]
    assert kinds.count(Validation) == kinds.count(SampleGrid) == 2


def test_a_cache_that_is_refused_ends_a_training_before_its_first_step(
    base: Path, version: DatasetVersion, tmp_path: Path
) -> None:
    config = replace(CONFIG, cache=CacheConfig(use="required"))
    job = TrainJob(
        config=config, root=str(version.root), version=version.id, base=str(base),
        run=str(tmp_path / "run"),
    )  # fmt: skip
    end = train_worker(job, Place(), lambda kind, what: pytest.fail(f"{kind}: {what}"))
    assert isinstance(end.error, CacheError)
    assert end.step == 0


def test_the_teachers_of_a_mix_are_each_versions_own(tmp_path: Path) -> None:
    versions = [
        replace(make_version(tmp_path / name, samples(2)), models=models)
        for name, models in (("a", {"pose": "d1"}), ("b", {}), ("c", {"pose": "d1"}))
    ]
    assert Inputs(versions=tuple(versions)).teachers == ("d1", "")
    assert Inputs(versions=(versions[0],)).teachers == ("d1",)
