import json
from pathlib import Path

import numpy as np
import pytest

from hcp.evaluation.people import (
    expected_people,
    limb_flags,
    measure_people,
    paired_interval,
    people_score,
    person_quality,
)
from hcp.tokens import human_spans
from storage.records import COCO_KEYPOINTS, Keypoint, Person
from tests.hcp.samples import make_person


def with_keypoint(person: Person, name: str, point: Keypoint) -> Person:
    keypoints = list(person.keypoints)
    keypoints[COCO_KEYPOINTS.index(name)] = point
    return Person(bbox_xyxy_px=person.bbox_xyxy_px, score=person.score, keypoints=tuple(keypoints))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a woman doing yoga", 1),
        ("two boys playing football", 2),
        ("two young ballet dancers are practicing in a studio", 2),
        ("three people walking down a street", 3),
        ("a man and a woman dancing", 2),
        ("a young woman with two children", 3),
        ("people on a beach", None),
        ("a group of women running", None),
        ("a couple dancing in the rain", 2),
        ("a red car parked near a tree", 0),
        ("two red cars and a woman", 1),
    ],
)
def test_people_that_a_prompt_asks_for(prompt: str, expected: int | None) -> None:
    assert expected_people(prompt, human_spans(prompt)) == expected


def test_a_plausible_body_has_no_flag_and_a_long_arm_has_one() -> None:
    person = make_person((0, 0, 100, 200))
    assert limb_flags(person) == [False] * 8
    long = with_keypoint(person, "left_wrist", (300.0, 300.0, 0.9))
    assert sum(limb_flags(long)) == 1
    hidden = with_keypoint(long, "left_wrist", (300.0, 300.0, 0.1))
    assert limb_flags(hidden) == [False] * 7
    no_torso = with_keypoint(long, "left_hip", (0.0, 0.0, 0.1))
    assert limb_flags(no_torso) == []


def test_limbs_of_real_people_are_plausible(assets: Path) -> None:
    """The bounds flag at most a few of the limbs that people marked in real photos."""
    flags: list[bool] = []
    for row in json.loads((assets / "person_keypoints.json").read_text())["annotations"]:
        points = np.array(row["keypoints"], dtype=float).reshape(17, 3)
        points[:, 2] = points[:, 2] > 0
        keypoints = tuple((x, y, c) for x, y, c in points.tolist())
        flags += limb_flags(Person(bbox_xyxy_px=(0, 0, 1, 1), score=1.0, keypoints=keypoints))
    assert len(flags) > 200
    assert np.mean(flags) < 0.03


def test_people_score_by_hand() -> None:
    good = make_person((0, 0, 100, 200), score=0.8, confidence=0.5)
    assert person_quality(good) == pytest.approx(0.4)
    assert people_score([good], n_expected=1) == pytest.approx(0.4)
    assert people_score([good], n_expected=2) == pytest.approx(0.2)
    assert people_score([good, good, good], n_expected=None) == pytest.approx(0.4)
    assert people_score([], n_expected=1) == 0.0
    long = with_keypoint(good, "left_wrist", (300.0, 300.0, 0.5))
    assert person_quality(long) == pytest.approx(0.4 * 7 / 8)


def test_measures_of_an_image() -> None:
    strong, weak = make_person(score=0.9), make_person(score=0.3)
    measures = measure_people([weak, strong], n_expected=2)
    assert (measures.n_detected, measures.count_error, measures.detected) == (1, 1, True)
    nobody = measure_people([weak], n_expected=None)
    assert (nobody.n_detected, nobody.detected, nobody.people_score) == (0, False, 0.0)
    assert nobody.count_error is None
    assert nobody.keypoint_confidence is None


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        prompts = np.repeat(np.arange(30), 3)
        effect = 0.1 + rng.normal(0, 0.1, size=30)[prompts] + rng.normal(0, 0.1, size=90)
        interval = paired_interval(
            effect.tolist(), [0.0] * 90, groups=prompts.tolist(), seed=trial, n_resamples=500
        )
        covered += interval.low <= 0.1 <= interval.high
    assert 0.88 < covered / 200 <= 1.0


def test_intervals_are_paired_and_repeatable() -> None:
    noise = np.random.default_rng(1).normal(size=40)
    groups = list(range(40))
    ours, theirs = (noise + 0.01).tolist(), noise.tolist()
    interval = paired_interval(ours, theirs, groups=groups)
    assert interval.low == pytest.approx(0.01)
    assert interval.high == pytest.approx(0.01)
    assert interval == paired_interval(ours, theirs, groups=groups)
    assert interval.n == 40
    with pytest.raises(ValueError, match="lengths"):
        paired_interval([1.0], [1.0, 2.0], groups=[0])
