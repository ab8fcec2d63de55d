"""Faces by hand: where the box is, which are left out, what the confidence counts."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from hcp.evaluation.fidelity.faces import CROP_PX, face_box, face_confidence, face_crops
from storage.records import Keypoint, Person
from tests.hcp.samples import make_person

NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(5)
FRONT: Mapping[int, Keypoint] = {
    NOSE: (50.0, 52.0, 0.9), LEFT_EYE: (54.0, 48.0, 0.9), RIGHT_EYE: (46.0, 48.0, 0.9),
    LEFT_EAR: (60.0, 50.0, 0.9), RIGHT_EAR: (40.0, 50.0, 0.9),
}  # fmt: skip


def person(points: Mapping[int, Keypoint] = FRONT, *, score: float = 0.9) -> Person:
    made = make_person(score=score)
    rows = [points.get(i, (0.0, 0.0, 0.1) if i < 5 else k) for i, k in enumerate(made.keypoints)]
    return replace(made, keypoints=tuple(rows))


def test_a_face_from_the_front_is_as_wide_as_from_ear_to_ear() -> None:
    assert face_box(person()) == pytest.approx((34, 34, 66, 66))  # 1.6 * 20 around (50, 50)


def test_a_face_from_the_side_is_told_from_nose_and_ear() -> None:
    side = {NOSE: (60.0, 50.0, 0.9), LEFT_EYE: (57.0, 47.0, 0.9), LEFT_EAR: (45.0, 49.0, 0.9)}
    box = face_box(person(side))
    assert box is not None
    assert box[2] - box[0] == pytest.approx(1.6 * 1.1 * np.hypot(15, 1))


def test_eyes_and_nose_alone_do_too_and_two_points_do_not() -> None:
    inner = {i: FRONT[i] for i in (NOSE, LEFT_EYE, RIGHT_EYE)}
    box = face_box(person(inner))
    assert box is not None
    assert box[2] - box[0] == pytest.approx(1.6 * 2.2 * 8)
    assert face_box(person({i: FRONT[i] for i in (NOSE, LEFT_EYE)})) is None
    assert face_box(person({})) is None


def test_crops_are_the_pixels_of_the_box_and_repeat_the_border() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[34:66, 34:66] = 200
    found = face_crops([image, image], [[], [person()]], min_side_px=16)
    assert found.places == (1,)
    assert found.crops[0].shape == (CROP_PX, CROP_PX, 3)
    assert (found.crops[0] == 200).all()
    edge = face_crops([image[:, 50:] + 7], [[person(
        {i: (x - 50, y, c) for i, (x, y, c) in FRONT.items()}
    )]], min_side_px=16)  # fmt: skip
    assert (edge.crops[0] == 207).all()  # half of the box lies outside


def test_small_faces_and_weak_detections_are_left_out() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    people = [person(), person(score=0.2)]
    found = face_crops([image], [people], min_side_px=33)
    assert (found.crops, found.n_small) == ((), 1)
    assert len(face_crops([image], [people], min_side_px=32).crops) == 1


def test_confidence_counts_faces_that_are_not_found_and_leaves_out_small_ones() -> None:
    assert face_confidence([], min_side_px=16) is None
    assert face_confidence([person()], min_side_px=16) == pytest.approx(0.9)
    assert face_confidence([person({})], min_side_px=16) == pytest.approx(0.1)
    assert face_confidence([person(), person({})], min_side_px=16) == pytest.approx(0.5)
    assert face_confidence([person()], min_side_px=99) is None
