import json
from pathlib import Path

import numpy as np
import pytest

from hcp.evaluation.people import (
    limb_flags,
    measure_people,
    people_score,
    person_quality,
)
from storage.records import COCO_KEYPOINTS, Keypoint, Person
from tests.hcp.samples import make_person


def with_keypoint(person: Person, name: str, point: Keypoint) -> Person:
    keypoints = list(person.keypoints)
    keypoints[COCO_KEYPOINTS.index(name)] = point
    return Person(bbox_xyxy_px=person.bbox_xyxy_px, score=person.score, keypoints=tuple(keypoints))


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
