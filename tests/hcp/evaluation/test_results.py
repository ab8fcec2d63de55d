"""The report as plain data: its settings, and its flat numbers."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from hcp.evaluation.results import EvaluationConfig, EvaluationReport
from tests.hcp.evaluation.reports import arm, report_of


@pytest.fixture
def report() -> EvaluationReport:
    return report_of(base=arm(0.4), candidate=arm(0.6, fid=12.0))


def test_flat_numbers_leave_out_what_was_not_measured(report: EvaluationReport) -> None:
    metrics = report.metrics()
    assert metrics["candidate.people_score"] == 0.6
    assert metrics["candidate.fid"] == 12.0
    assert metrics["candidate-base.people_score.low"] == 0.1
    assert "base.fid" not in metrics
    assert not any("keypoint_confidence" in name for name in metrics)
    assert all(type(value) is float for value in metrics.values())


def test_the_report_is_json(report: EvaluationReport) -> None:
    data = json.loads(json.dumps(asdict(report), allow_nan=False))
    assert data["arms"]["base"]["people_score"] == 0.4
    assert data["comparisons"]["base"]["people_score"]["n"] == 12
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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompts": ()}, "at least one prompt"),
        ({"prompts": ("a man", "")}, "number 2 of 2 is empty"),
        ({"prompts": ("a man", " \t")}, "number 2 of 2 is empty"),
        ({"prompts": ("a man", "a dog", "a man")}, "'a man' is given 2 times"),
        ({"prompts": ("a red car", "a dog running")}, "none of the 2 prompts has a human word"),
        ({"seeds": ()}, "at least one prompt and one seed"),
        ({"seeds": (0, 1, 0)}, "seeds must be different numbers"),
        ({"seeds": (-1,)}, "seeds must be different numbers"),
        ({"seeds": (2**63,)}, "seeds must be different numbers"),
        ({"steps": 0}, "EvaluationConfig.steps must be >= 1, got 0"),
        ({"batch_size": 0}, "EvaluationConfig.batch_size must be >= 1, got 0"),
        ({"max_photos": -1}, "EvaluationConfig.max_photos must be >= 1, got -1"),
        ({"n_resamples": 0}, "EvaluationConfig.n_resamples must be >= 1, got 0"),
        ({"guidance": 0.5}, "guidance >= 1"),
        ({"guidance": float("nan")}, "guidance >= 1"),
        ({"level": 1.0}, "level in"),
        ({"noise_levels": ()}, "noise_levels must be in"),
        ({"noise_levels": (float("nan"),)}, "noise_levels must be in"),
    ],
)
def test_settings_that_no_evaluation_could_use_are_refused_by_name(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        EvaluationConfig(**settings)
