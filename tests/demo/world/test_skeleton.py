"""Articulated skeletons: limb lengths, mirroring, what is up and what is down."""

import numpy as np
import pytest

from demo.world.looks import random_look
from demo.world.poses import POSES, Pose
from demo.world.skeleton import Skeleton, pose_skeleton


def _length(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _named(name: str) -> Skeleton:
    pose = next(p for p in POSES if p.name == name)
    return pose_skeleton(pose, random_look(np.random.default_rng(2), pose=pose))


@pytest.mark.parametrize("pose", POSES, ids=lambda p: p.name)
def test_limbs_keep_their_lengths_in_every_pose(pose: Pose) -> None:
    look = random_look(np.random.default_rng(1), pose=pose)
    body = pose_skeleton(pose, look)
    for side in ("left", "right"):
        assert _length(body[f"{side}_shoulder"], body[f"{side}_elbow"]) == pytest.approx(0.165)
        assert _length(body[f"{side}_hip"], body[f"{side}_knee"]) == pytest.approx(0.235)
        assert _length(body[f"{side}_knee"], body[f"{side}_ankle"]) == pytest.approx(0.225)


def test_mirroring_swaps_sides_of_the_picture() -> None:
    pose = next(p for p in POSES if p.name == "waving")
    body = pose_skeleton(pose, random_look(np.random.default_rng(2), pose=pose))
    plain, mirrored = body.placed(10.0, (50.0, 50.0)), body.placed(10.0, (50.0, 50.0), mirror=True)
    for name, (x, y) in plain.points.items():
        assert mirrored[name] == (pytest.approx(100.0 - x), pytest.approx(y))


def test_a_handstand_is_upside_down() -> None:
    standing, handstand = _named("standing"), _named("handstand")  # y points down
    assert standing["head"][1] < standing["hips"][1] < standing["left_ankle"][1]
    assert handstand["head"][1] > handstand["hips"][1] > handstand["left_ankle"][1]
    assert handstand["left_wrist"][1] > handstand["left_shoulder"][1]


def test_faces_turn_with_the_view() -> None:
    front, profile = _named("standing"), _named("walking")
    assert front["left_eye"][0] > front["nose"][0] > front["right_eye"][0]
    assert profile["nose"][0] > max(profile["left_ear"][0], profile["head"][0])
