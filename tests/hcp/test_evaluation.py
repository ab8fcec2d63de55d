import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn

from hcp import HcpAdapter, HcpConfig
from hcp.comparison import Pictures, compare
from hcp.evaluation import EvaluationConfig, evaluate
from hcp.evaluation_report import EvaluationReport
from hcp.similarity import distribution_distances
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


class Features(nn.Module):
    """Mean colour and contrast of an image: a real, small feature space."""

    num_features = 6

    def forward(self, images: Tensor) -> Tensor:
        flat = images.float().flatten(2) / 255
        return torch.cat([flat.mean(dim=2), flat.std(dim=2)], dim=1)


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
    assert report.comparisons["candidate-base"].people_score.n == 2
    assert set(report.not_measured) == {"text_score", "fid", "kid"}
    assert report.n_photos == 3
    assert report.attention_chance is not None
    assert report.arms["base"].attention_share == pytest.approx(report.attention_chance, abs=0.15)
    json.dumps(report.to_json(), allow_nan=False)
    assert all(isinstance(v, float) for v in report.metrics().values())
    pictures = evaluation.pictures
    assert pictures.prompts[:2] == ("a woman doing yoga",) * 2
    assert pictures.seeds == (0, 1, 0, 1, 0, 1)


def test_the_champion_is_compared_too(pipeline: StableDiffusionPipeline) -> None:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16))
    report = evaluate(pipeline, adapter, config=CONFIG, detector=detector, champion=adapter).report
    difference = report.comparisons["candidate-champion"].people_score
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert "attention_share" in report.not_measured


def pictures(scores: dict[str, list[float]], prompts: Sequence[str]) -> Pictures:
    blank = np.zeros((8, 8, 3), dtype=np.uint8)
    return Pictures(
        prompts=tuple(prompts),
        seeds=(0,) * len(prompts),
        images={name: [blank] * len(prompts) for name in scores},
        people={
            name: [[make_person(score=s, confidence=1.0)] for s in values]
            for name, values in scores.items()
        },
    )


def report_of(base: list[float], candidate: list[float]) -> EvaluationReport:
    prompts = ("a woman", "a man", "a red car")
    config = EvaluationConfig(prompts=prompts, seeds=(0,), n_resamples=100)
    drawn = pictures({"base": base, "candidate": candidate}, prompts)
    return compare(drawn, {}, config=config, text_scorer=lambda images, texts: [1.0] * len(texts))


def test_people_scores_leave_out_prompts_without_people() -> None:
    report = report_of([0.4, 0.6, 0.9], [0.5, 0.9, 0.4])
    assert report.arms["base"].people_score == pytest.approx(0.5)
    assert report.arms["candidate"].people_score == pytest.approx(0.7)
    assert report.comparisons["candidate-base"].people_score.mean == pytest.approx(0.2)
    text = report.comparisons["candidate-base"].text_score
    assert text is not None
    assert text.mean == 0.0


def test_fid_and_kid_in_a_given_feature_space() -> None:
    rng = np.random.default_rng(0)

    def images(low: int, high: int) -> list[NDArray[np.uint8]]:
        return list(rng.integers(low, high, size=(24, 8, 8, 3), dtype=np.uint8))

    near = distribution_distances(Features(), images(0, 200), images(0, 200))
    far = distribution_distances(Features(), images(0, 200), images(55, 255))
    assert far.fid > 10 * near.fid
    assert far.kid > near.kid
    with pytest.raises(ValueError, match="16"):
        distribution_distances(Features(), images(0, 9)[:3], images(0, 9))


def test_an_evaluation_without_human_words_is_refused() -> None:
    with pytest.raises(ValueError, match="human word"):
        EvaluationConfig(prompts=("a red car",))
    assert EvaluationConfig().prompts
