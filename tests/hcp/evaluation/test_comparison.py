"""From pictures and maps to a report: numbers by hand, and what could not be measured."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from hcp.evaluation.attention_maps import Word
from hcp.evaluation.comparison import Pictures, compare, people_measures
from hcp.evaluation.mechanism import PhotoMaps
from hcp.evaluation.results import EvaluationConfig, EvaluationReport
from tests.hcp.samples import make_person

PROMPTS = ("a woman", "a man", "a red car")


def flat_image(level: int) -> NDArray[np.uint8]:
    return np.full((8, 8, 3), level, dtype=np.uint8)


def pictures(scores: Mapping[str, Sequence[float]], levels: Mapping[str, int]) -> Pictures:
    """One picture a prompt, with one person of the given score in it."""
    return Pictures(
        prompts=PROMPTS,
        seeds=(0,) * len(PROMPTS),
        images={name: [flat_image(levels.get(name, 0))] * len(PROMPTS) for name in scores},
        people={
            name: [[make_person(score=s, confidence=1.0)] for s in values]
            for name, values in scores.items()
        },
    )


def report_of(
    *, levels: Mapping[str, int] | None = None, text: bool = True, **arms: Sequence[float]
) -> EvaluationReport:
    return compare(
        pictures(arms, levels or {}),
        {},
        config=EvaluationConfig(prompts=PROMPTS, seeds=(0,), n_resamples=100),
        text_scorer=(lambda images, texts: [float(i.mean()) for i in images]) if text else None,
    )


def test_people_scores_leave_out_prompts_without_people() -> None:
    report = report_of(base=[0.4, 0.6, 0.9], candidate=[0.5, 0.9, 0.4])
    assert report.arms["base"].people_score == pytest.approx(0.5)
    assert report.arms["candidate"].people_score == pytest.approx(0.7)
    assert report.arms["candidate"].n_person_pictures == 2
    assert report.comparisons["base"].people_score.mean == pytest.approx(0.2)
    measured = people_measures(pictures({"base": [0.4, 0.6, 0.9]}, {}))["base"]
    assert [m is None for m in measured] == [False, False, True]


def test_pictures_without_people_are_compared_with_the_base() -> None:
    report = report_of(levels={"base": 100, "candidate": 97}, base=[0.5] * 3, candidate=[0.5] * 3)
    assert report.arms["base"].pixel_difference == 0.0
    assert report.arms["candidate"].pixel_difference == pytest.approx(3.0)
    assert report.arms["candidate"].identical_share == 0.0
    text = report.comparisons["base"].text_score
    assert text is not None
    assert text.mean == pytest.approx(-3.0)
    assert text.n == 3


def test_a_champion_is_one_more_arm_and_comparison() -> None:
    report = report_of(base=[0.4] * 3, candidate=[0.5] * 3, champion=[0.8] * 3)
    assert set(report.comparisons) == {"base", "champion"}
    against = report.comparisons["champion"].people_score
    assert against.mean == pytest.approx(-0.3)
    assert against.high < 0


def test_what_was_not_measured_says_why() -> None:
    report = report_of(text=False, base=[0.4] * 3, candidate=[0.5] * 3)
    assert report.arms["candidate"].text_score is None
    assert "no CLIP model" in report.not_measured["text_score"]
    assert "no held-out photo" in report.not_measured["attention_share"]
    assert report.attention_chance is None


def test_attention_of_photos_enters_every_arm() -> None:
    mask = np.zeros((8, 8), dtype=np.bool_)
    mask[:, :2] = True
    base = np.full((1, 4, 4), 1 / 16, dtype=np.float32)
    fused = np.zeros((1, 4, 4), dtype=np.float32)
    fused[:, :, 0] = 1 / 4
    photo = PhotoMaps(
        key="0", caption="a woman", image=flat_image(0), mask=mask,
        words=(Word(text="woman", kind=1, tokens=(0,)),), base=base, fused=fused, human=fused,
    )  # fmt: skip
    config = EvaluationConfig(prompts=PROMPTS, seeds=(0,), n_resamples=100)
    drawn = pictures({"base": [0.5] * 3, "candidate": [0.5] * 3}, {})
    report = compare(drawn, {"candidate": [photo, photo]}, config=config)
    assert (report.attention_chance, report.n_photos) == (0.25, 2)
    assert report.arms["base"].attention_share == pytest.approx(0.25)
    assert report.arms["candidate"].attention_share == pytest.approx(1.0)
    interval = report.comparisons["base"].attention_share
    assert interval is not None
    assert (interval.mean, interval.n) == (pytest.approx(0.75), 2)
