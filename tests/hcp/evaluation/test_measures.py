"""A further measure enters the report by its card: figures, differences, page, registry."""

from dataclasses import replace

import numpy as np
import pytest

from hcp.evaluation.comparison import Pictures
from hcp.evaluation.measures import with_figures, with_pictures_measured
from hcp.evaluation.results import EvaluationConfig, EvaluationReport, MeasureCard
from hcp.pages.measures import differences, measure_rows
from tests.hcp.evaluation.reports import arm, report_of

CARD = MeasureCard(
    name="smiles", title="Smiles", note="share of people", better="higher", percent=True
)
PROMPTS = ("a man", "a woman", "a red car")


def pictures() -> Pictures:
    images = [np.zeros((8, 8, 3), np.uint8)] * 3
    arms = ("base", "candidate")
    return Pictures(
        prompts=PROMPTS,
        seeds=(0, 0, 0),
        images=dict.fromkeys(arms, images),
        people={name: [[], [], []] for name in arms},
    )


def report() -> EvaluationReport:
    made = report_of(base=arm(0.4), candidate=arm(0.5))
    return replace(made, config=EvaluationConfig(prompts=PROMPTS, seeds=(0,)))


def test_a_number_for_each_picture_gives_means_and_a_paired_difference() -> None:
    values = {"base": [0.0, 1.0, None], "candidate": [1.0, 1.0, None]}
    found = with_pictures_measured(report(), pictures(), CARD, values, why="nobody smiles")
    assert found.arms["base"].more == {"smiles": 0.5}
    assert found.arms["candidate"].more == {"smiles": 1.0}
    difference = found.comparisons["base"].more["smiles"]
    assert (difference.mean, difference.n) == (pytest.approx(0.5), 2)
    assert found.metrics()["candidate.smiles"] == 1.0
    row = next(row for row in measure_rows(found) if row.title == "Smiles")
    assert (row.values, row.best) == (("50.0 %", "100.0 %"), (False, True))
    assert "HcP against Base: smiles" in [each.title for each in differences(found)]


def test_what_no_picture_shows_is_not_measured_and_says_why() -> None:
    values = {"base": [None] * 3, "candidate": [None] * 3}
    found = with_pictures_measured(report(), pictures(), CARD, values, why="nobody smiles")
    assert found.not_measured["smiles"] == "nobody smiles"
    assert "Smiles" not in [row.title for row in measure_rows(found)]


def test_an_arm_without_a_figure_has_a_dash() -> None:
    found = with_figures(report(), CARD, {"base": 0.5})
    row = next(row for row in measure_rows(found) if row.title == "Smiles")
    assert row.values == ("50.0 %", "–")  # noqa: RUF001 - the dash is meant
