"""The validation loss: what it measures, what it leaves as it was."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp.training import validation
from hcp.training.batches import Batch
from hcp.training.state import averaged
from hcp.training.trainer import Trainer, train_steps
from hcp.training.validation import Validator, held_out, photo_batch
from hcp.training.watching import Validation, ValidationConfig
from storage.errors import ShardError
from storage.records import Sample
from storage.streaming import SampleStream, split_size
from storage.versions import DatasetVersion, publish_version
from tests.hcp.samples import make_sample
from tests.hcp.training.test_trainer import CONFIG, SAMPLES, run, stream

VALIDATED = replace(
    CONFIG, validation=ValidationConfig(every=2, photos=5, noise_levels=(0.1, 0.6), seed=3)
)

MakePipeline = Callable[[int], StableDiffusionPipeline]


def validator(trainer: Trainer, samples: Iterable[Sample] = SAMPLES) -> Validator:
    return Validator(trainer, samples, to_batch=lambda sample: photo_batch(trainer, sample))


def measured(trainer: Trainer, samples: Iterable[Sample] = SAMPLES) -> Validation:
    found = validator(trainer, samples).measure()
    assert found is not None
    return found


def test_it_is_the_denoising_loss_of_the_photos_by_noise_level(
    make_pipeline: MakePipeline,
) -> None:
    trainer = Trainer(make_pipeline(0), VALIDATED)
    first = measured(trainer)
    assert (first.step, first.photos) == (0, 5)
    assert list(first.by_noise_level) == ["0.1", "0.6"]
    assert first.loss == pytest.approx(np.mean(list(first.by_noise_level.values())))
    assert first.alignment is not None
    assert set(first.alignment_by_stage) == set(first.attention_share_by_stage) == {"mid", "up"}
    shares = [first.attention_share, *first.attention_share_by_stage.values()]
    assert all(share is not None and 0 < share < 1 for share in shares)
    assert measured(trainer) == first
    other = replace(VALIDATED.validation, seed=4)
    assert measured(Trainer(make_pipeline(0), replace(VALIDATED, validation=other))) != first
    # Neither the order of training nor the batch size has a say.
    assert measured(Trainer(make_pipeline(0), replace(VALIDATED, seed=9, batch_size=1))) == first


def test_training_goes_on_to_the_bit(make_pipeline: MakePipeline) -> None:
    plain = run(Trainer(make_pipeline(0), CONFIG), 4)
    trainer = Trainer(make_pipeline(0), VALIDATED)
    looks = validator(trainer)
    torch.manual_seed(7)
    state, seen = torch.get_rng_state(), []
    for metrics in train_steps(trainer, stream(trainer), until=4):
        looks.measure()
        seen.append(metrics)
    assert [m.loss for m in seen] == [m.loss for m in plain]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_weights_are_those_of_a_checkpoint(make_pipeline: MakePipeline) -> None:
    trainer = Trainer(make_pipeline(0), VALIDATED)
    run(trainer, 3)
    raw = [p.detach().clone() for p in trainer.parameters]
    of_average = measured(trainer)
    assert all(torch.equal(a, b) for a, b in zip(raw, trainer.parameters, strict=True))
    with averaged(trainer):
        trainer.ema, ema = None, trainer.ema
        assert measured(trainer) == of_average
        trainer.ema = ema
    trainer.ema = None
    assert measured(trainer) != of_average


def test_workers_share_the_photos_and_have_the_same_numbers(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measured(Trainer(make_pipeline(0), VALIDATED))
    tables: list[np.ndarray] = []

    def gather(table: np.ndarray, _: Trainer) -> np.ndarray:
        tables.append(table)
        return table

    monkeypatch.setattr(validation, "_summed", gather)
    for rank in range(3):
        trainer = Trainer(make_pipeline(0), VALIDATED, rank=rank, world_size=3)
        validator(trainer).measure()
    assert [int(table[:, 0].sum()) for table in tables] == [2, 2, 1]
    total = np.sum(tables, axis=0)
    monkeypatch.setattr(validation, "_summed", lambda _table, _trainer: total)
    assert measured(Trainer(make_pipeline(0), VALIDATED)) == whole


def test_photos_without_human_words_count_in_the_loss_alone(make_pipeline: MakePipeline) -> None:
    cars = [make_sample(i, caption="a red car", people=()) for i in range(2)]
    found = measured(Trainer(make_pipeline(0), VALIDATED), cars)
    assert found.photos == 2
    assert math.isfinite(found.loss)
    assert found.alignment is None
    assert found.attention_share is None
    assert not found.alignment_by_stage


def test_what_cannot_be_read_is_left_out(
    make_pipeline: MakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    broken = dataclasses.replace(SAMPLES[0], image_jpeg=b"no picture")
    trainer = Trainer(make_pipeline(0), VALIDATED)

    def read(number: int) -> Batch:
        if number == 2:
            raise ShardError("shard x is gone")
        return photo_batch(trainer, [SAMPLES[1], broken][number])

    found = Validator(trainer, range(3), to_batch=read).measure()
    assert found is not None
    assert found.photos == 1
    assert found == replace(measured(trainer, SAMPLES[1:2]))
    assert caplog.text.count("a validation photo is left out") == 2
    assert "shard x is gone" in caplog.text
    assert validator(trainer, []).measure() is None


def test_the_photos_come_from_all_versions_in_turn(
    tmp_path: Path, fill_root: Callable[..., list[str]]
) -> None:
    versions: list[DatasetVersion] = []
    for name, n_units in (("one", 6), ("two", 3)):
        root = str(tmp_path / name)
        versions.append(publish_version(root, fill_root(root, n_units), config={}))
    sizes = [split_size(version, "val") for version in versions]
    streams = [SampleStream(version, split="val", seed=0) for version in versions]
    everything = held_out(streams, ValidationConfig(photos=100))
    assert len(everything) == len({(p.shard, p.facts().key) for p in everything}) == sum(sizes) > 0
    keys = [place.facts().key for place in everything]
    few = held_out(streams, ValidationConfig(photos=2))
    assert [place.facts().key for place in few] == keys[:2]
