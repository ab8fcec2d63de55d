"""An evaluation from models to report, on a tiny pipeline."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.run import EvaluationConfig, evaluate
from hcp.training.config import TrainConfig
from hcp.training.methods import Trained, load_trained
from hcp.training.state import save_checkpoint
from hcp.training.trainer import Trainer
from storage.records import Person
from tests.hcp.samples import make_person, make_sample

CONFIG = EvaluationConfig(
    prompts=("a woman doing yoga", "two people dancing", "a red car"),
    seeds=(0, 1),
    steps=2,
    batch_size=3,
    n_resamples=200,
)


def detector(images: Sequence[NDArray[np.uint8]]) -> list[list[Person]]:
    """Finds one person in each picture, surer the brighter it is."""
    return [[make_person(score=0.4 + 0.5 * float(image.mean()) / 255)] for image in images]


def test_evaluating_an_adapter(pipeline: StableDiffusionPipeline) -> None:
    candidate = HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=3.0))
    seen: list[tuple[int, int, str]] = []
    evaluation = evaluate(
        pipeline,
        candidate,
        config=CONFIG,
        detector=detector,
        val_samples=[make_sample(i) for i in range(3)],
        on_progress=lambda *step: seen.append(step),
    )
    report = evaluation.report
    assert seen[-1] == (12, 12, "candidate")
    assert set(report.arms) == {"base", "candidate"}
    assert report.arms["candidate"].n_person_pictures == 4
    assert report.arms["candidate"].pixel_difference == 0.0
    assert report.arms["candidate"].identical_share == 1.0
    assert report.arms["candidate"].people_score != report.arms["base"].people_score
    assert report.comparisons["base"].people_score.n == 2
    poses = {"pose_as_asked", "pose_distance"}  # no dataset was given
    assert set(report.not_measured) == {"text_score", "soundness"} | poses
    assert report.n_photos == 3
    assert report.attention_chance is not None
    assert report.arms["base"].attention_share == pytest.approx(report.attention_chance, abs=0.15)
    json.dumps(asdict(report), allow_nan=False)
    assert all(isinstance(v, float) for v in report.metrics().values())
    pictures = evaluation.pictures
    assert pictures.prompts[:2] == ("a woman doing yoga",) * 2
    assert pictures.seeds == (0, 1, 0, 1, 0, 1)
    assert evaluation.recording is not None
    assert [word.text for word in evaluation.recording.words] == ["woman", "yoga"]


@pytest.fixture(params=["lora", "full"])
def other(
    request: pytest.FixtureRequest, make_pipeline: Callable[[int], Any], tmp_path: Path
) -> Trained:
    """What another method trained on the same base, made up."""
    trainer = Trainer(make_pipeline(0), TrainConfig(method=request.param, ema_decay=None))
    with torch.no_grad():
        for parameter in trainer.parameters:
            parameter.add_(0.02)
    save_checkpoint(tmp_path / "c", trainer)
    return load_trained(tmp_path / "c")


def test_evaluating_another_method(pipeline: StableDiffusionPipeline, other: Trained) -> None:
    hcp = HcpAdapter.create(pipeline.unet, HcpConfig(width=16))
    samples = [make_sample(i) for i in range(2)]
    evaluation = evaluate(
        pipeline, other, config=CONFIG, detector=detector, champion=hcp, val_samples=samples
    )
    report = evaluation.report
    assert report.methods == {"candidate": other.card.method, "champion": "hcp"}
    assert report.parameters["candidate"] == sum(other.parameter_count().values())
    ours, base = report.arms["candidate"], report.arms["base"]
    assert ours.pixel_difference is not None
    assert ours.pixel_difference > 0.0
    assert ours.identical_share == 0.0
    assert ours.attention_share is not None
    assert ours.attention_share != base.attention_share
    assert ours.human_map_share is None
    assert report.arms["champion"].human_map_share is not None
    assert report.comparisons["base"].attention_share is not None
    assert all(photo.human is None for photo in evaluation.photos["candidate"])
    assert evaluation.recording is not None
    assert evaluation.recording.maps.human == []
    assert other.pipeline is None
    alone = evaluate(pipeline, other, config=CONFIG, detector=detector, val_samples=samples).report
    assert alone.not_measured["human_map_share"] == "no model has HcP layers"


def test_the_champion_is_compared_too(pipeline: StableDiffusionPipeline) -> None:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16))
    report = evaluate(pipeline, adapter, config=CONFIG, detector=detector, champion=adapter).report
    difference = report.comparisons["champion"].people_score
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert "attention_share" in report.not_measured
