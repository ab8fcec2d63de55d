"""Poses of all models in the report: numbers by hand, and what could not be judged."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hcp.evaluation.comparison import Pictures, compare
from hcp.evaluation.pose_comparison import with_poses
from hcp.evaluation.poses import NEIGHBOURS, PoseBook
from hcp.evaluation.results import EvaluationConfig, EvaluationReport
from storage.records import Person
from tests.hcp.samples import make_person

JUMPING, STANDING = "a woman jumping in a park", "a man standing on a beach"


def upside_down(person: Person) -> Person:
    """Another pose than standing: in the drawn samples, the only other one there is."""
    points = tuple((x, 200.0 - y, c) for x, y, c in person.keypoints)
    return replace(person, keypoints=points)


def posed_report(candidate: Sequence[Person], book: PoseBook | None) -> EvaluationReport:
    """The base's person stands in all pictures; the candidate's are given, one a prompt."""
    base = [make_person() for _ in candidate]
    prompts = (JUMPING, STANDING, "a man", "a red car")
    pictures = Pictures(
        prompts=prompts,
        seeds=(0,) * 4,
        images={name: [np.zeros((8, 8, 3), np.uint8)] * 4 for name in ("base", "candidate")},
        people={"base": [[each] for each in base], "candidate": [[each] for each in candidate]},
    )
    config = EvaluationConfig(prompts=prompts, seeds=(0,), n_resamples=100)
    return with_poses(compare(pictures, {}, config=config), pictures, book)


def test_poses_are_compared_where_the_prompt_names_an_action_of_the_dataset() -> None:
    standing, jumping = make_person(passes_gate=True), upside_down(make_person(passes_gate=True))
    book = PoseBook.of([(STANDING, [standing]), (JUMPING, [jumping])] * NEIGHBOURS)
    report = posed_report([jumping, standing, standing, standing], book)
    assert report.arms["base"].pose_as_asked == pytest.approx(0.5)
    assert report.arms["candidate"].pose_as_asked == pytest.approx(1.0)
    assert report.arms["candidate"].pose_distance == pytest.approx(0.0, abs=1e-6)
    difference = report.comparisons["base"].pose_as_asked
    assert difference is not None
    assert (difference.mean, difference.n) == (pytest.approx(0.5), 2)
    assert "pose_as_asked" not in report.not_measured
    assert report.metrics()["candidate.pose_as_asked"] == pytest.approx(1.0)


def test_poses_that_cannot_be_judged_say_why() -> None:
    person = make_person(passes_gate=True)
    for book, why in ((None, "no dataset of people"), (PoseBook.of([]), "no caption of the data")):
        report = posed_report([person] * 4, book)
        assert why in report.not_measured["pose_as_asked"]
        assert report.arms["base"].pose_as_asked is None
    unknown = PoseBook.of([("a girl swimming", [person])] * NEIGHBOURS)
    report = posed_report([person] * 4, unknown)
    assert "no prompt names an action" in report.not_measured["pose_as_asked"]
    assert report.arms["base"].pose_distance == pytest.approx(0.0, abs=1e-6)
    assert report.comparisons["base"].pose_as_asked is None
