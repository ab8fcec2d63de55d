"""The report as plain data: its settings, and its flat numbers."""

import json

import pytest

from hcp.evaluation.people import Interval
from hcp.evaluation.results import ArmReport, Comparison, EvaluationConfig, EvaluationReport


def arm(score: float, *, fid: float | None = None) -> ArmReport:
    return ArmReport(
        people_score=score, detection_rate=1.0, count_error=0.0, keypoint_confidence=None,
        implausible_limb_rate=None, n_person_pictures=3, pixel_difference=0.0, identical_share=1.0,
        text_score=None, attention_share=None, human_map_share=None, fid=fid, kid=None,
    )  # fmt: skip


@pytest.fixture
def report() -> EvaluationReport:
    interval = Interval(mean=0.2, low=0.1, high=0.3, n=3)
    return EvaluationReport(
        arms={"base": arm(0.4), "candidate": arm(0.6, fid=12.0)},
        comparisons={
            "candidate-base": Comparison(
                people_score=interval, text_score=None, attention_share=None
            )
        },
        attention_chance=None,
        n_photos=0,
        not_measured={"kid": "no feature network"},
        config=EvaluationConfig(),
    )


def test_flat_numbers_leave_out_what_was_not_measured(report: EvaluationReport) -> None:
    metrics = report.metrics()
    assert metrics["candidate.people_score"] == 0.6
    assert metrics["candidate.fid"] == 12.0
    assert metrics["candidate-base.people_score.low"] == 0.1
    assert "base.fid" not in metrics
    assert not any("keypoint_confidence" in name for name in metrics)
    assert all(type(value) is float for value in metrics.values())


def test_the_report_is_json(report: EvaluationReport) -> None:
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["arms"]["base"]["people_score"] == 0.4
    assert data["comparisons"]["candidate-base"]["people_score"]["n"] == 3
    assert data["config"]["seeds"] == [0, 1, 2, 3]


def test_an_evaluation_without_human_words_is_refused() -> None:
    with pytest.raises(ValueError, match="human word"):
        EvaluationConfig(prompts=("a red car",))
    assert EvaluationConfig().prompts


@pytest.mark.parametrize("level", [-0.1, 1.0])
def test_noise_levels_are_shares_of_the_schedule(level: float) -> None:
    with pytest.raises(ValueError, match="noise_levels"):
        EvaluationConfig(noise_levels=(0.5, level))
    with pytest.raises(ValueError, match="seed"):
        EvaluationConfig(seeds=())
