"""Sound bodies in the report: figures, their part in the people score, and why there are none."""

from dataclasses import replace

import numpy as np
import pytest

from hcp.evaluation.bodies import BodyConfig, BodyJudge, BodyNetwork
from hcp.evaluation.comparison import Pictures, compare
from hcp.evaluation.results import EvaluationConfig, EvaluationReport, SeenFaults
from hcp.evaluation.soundness import with_soundness
from tests.hcp.samples import make_person

PROMPTS = ("a woman", "two men", "a red car")
SEES = SeenFaults(world="noise", pairs=8, enough=0.9, shares={"people_score": {"fused": 1.0}})
JUDGE = BodyJudge(
    BodyNetwork(BodyConfig(input_px=16, widths=(4,))), BodyConfig(input_px=16, widths=(4,)),
    sees=SEES,
)  # fmt: skip


def pictures(*, judged: bool) -> Pictures:
    """One sure person in each picture; the candidate's bodies are twice as sound."""
    person, weak = make_person(score=1.0, confidence=1.0), make_person(score=0.2)
    arms = ("base", "candidate")
    sound = {"base": [[0.4, 0.0]] * 3, "candidate": [[0.8, 0.0]] * 3}
    return Pictures(
        prompts=PROMPTS,
        seeds=(0,) * 3,
        images={name: [np.zeros((8, 8, 3), np.uint8)] * 3 for name in arms},
        people={name: [[person, weak]] * 3 for name in arms},
        soundness=sound if judged else {},
    )


def report_of(drawn: Pictures, bodies: BodyJudge | None) -> EvaluationReport:
    config = EvaluationConfig(prompts=PROMPTS, seeds=(0,), n_resamples=50)
    return with_soundness(compare(drawn, {}, config=config), drawn, bodies)


def test_soundness_is_a_figure_and_a_factor_of_the_people_score() -> None:
    report = report_of(pictures(judged=True), JUDGE)
    assert report.arms["base"].more["soundness"] == pytest.approx(0.4)
    assert report.comparisons["base"].more["soundness"].mean == pytest.approx(0.4)
    # one person of one, and one of two
    assert report.arms["base"].people_score == pytest.approx((0.4 + 0.2) / 2)
    assert report.comparisons["base"].people_score.mean == pytest.approx(0.3)
    assert report.seen_faults == SEES


def test_without_a_body_judge_the_score_is_the_old_one_and_the_report_says_so() -> None:
    report = report_of(pictures(judged=False), None)
    assert report.arms["base"].people_score == pytest.approx((1.0 + 0.5) / 2)
    assert "no body judge" in report.not_measured["soundness"]
    assert report.seen_faults is None


def test_pictures_without_people_have_no_soundness() -> None:
    drawn = pictures(judged=True)
    empty = replace(
        drawn,
        people={name: [[]] * 3 for name in drawn.people},
        soundness={name: [[]] * 3 for name in drawn.people},
    )
    report = report_of(empty, JUDGE)
    assert "no person was found" in report.not_measured["soundness"]
    assert report.arms["base"].people_score == 0.0
