"""Articulated figures: limb lengths, joint limits, distinct poses."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demo.figures import draw_person
from demo.looks import KINDS, SKINS, random_look
from demo.poses import POSE_NAMES, POSES, Pose, jittered
from demo.skeleton import pose_skeleton


def _length(a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))


def _bend(pose: Pose, limb: str) -> float:
    upper, lower = getattr(pose, limb)
    return (lower - upper + 180) % 360 - 180


@pytest.mark.parametrize("pose", POSES, ids=lambda p: p.name)
def test_limbs_keep_their_lengths_in_every_pose(pose: Pose) -> None:
    look = random_look(np.random.default_rng(1), pose=pose)
    body = pose_skeleton(pose, look)
    for side in ("left", "right"):
        assert _length(body[f"{side}_shoulder"], body[f"{side}_elbow"]) == pytest.approx(0.165)
        assert _length(body[f"{side}_hip"], body[f"{side}_knee"]) == pytest.approx(0.235)
        assert _length(body[f"{side}_knee"], body[f"{side}_ankle"]) == pytest.approx(0.225)


@pytest.mark.parametrize("pose", [p for p in POSES if p.side], ids=lambda p: p.name)
def test_side_views_bend_elbows_forward_and_knees_backward(pose: Pose) -> None:
    rng = np.random.default_rng(0)
    for moved in (jittered(pose, rng) for _ in range(60)):
        for side in ("left", "right"):
            assert -2.01 <= _bend(moved, f"{side}_arm") <= 150.01
            assert -150.01 <= _bend(moved, f"{side}_leg") <= 2.01


def test_jitter_moves_but_keeps_the_pose() -> None:
    pose = POSES[0]
    moved = jittered(pose, np.random.default_rng(3))
    assert moved.right_arm != pose.right_arm
    assert abs(moved.right_arm[0] - pose.right_arm[0]) < 40
    assert moved.name == pose.name


def _silhouette(pose: Pose) -> np.ndarray:
    look = random_look(np.random.default_rng(5), pose=pose, kind="man")
    body = pose_skeleton(pose, look)
    xs, ys = zip(*body.points.values(), strict=True)
    middle = (0.5 * (min(xs) + max(xs)), 0.5 * (min(ys) + max(ys)))
    placed = body.placed(90.0, (64 - 90 * middle[0], 64 - 90 * middle[1]))
    layer = Image.new("RGBA", (128, 128))
    draw_person(ImageDraw.Draw(layer), placed, look=look, pose=pose)
    return np.asarray(layer.getchannel("A")) > 127


def test_named_poses_differ_in_silhouette() -> None:
    """No two names look alike; what is held or cut off tells the other standing poses apart."""
    shapes = {p.name: _silhouette(p) for p in POSES if p.name not in ("smiling", "umbrella")}
    names = list(shapes)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            a, b = shapes[first], shapes[second]
            assert (a & b).sum() / (a | b).sum() < 0.86, (first, second)
    assert len(POSE_NAMES) >= 10


def test_mirroring_swaps_sides_of_the_picture() -> None:
    pose = next(p for p in POSES if p.name == "waving")
    body = pose_skeleton(pose, random_look(np.random.default_rng(2), pose=pose))
    plain, mirrored = body.placed(10.0, (50.0, 50.0)), body.placed(10.0, (50.0, 50.0), mirror=True)
    for name, (x, y) in plain.points.items():
        assert mirrored[name] == (pytest.approx(100.0 - x), pytest.approx(y))


def test_looks_cover_kinds_and_skins() -> None:
    rng = np.random.default_rng(0)
    looks = [random_look(rng, pose=POSES[0]) for _ in range(300)]
    assert {look.kind for look in looks} == set(KINDS)
    assert {look.skin for look in looks} == set(range(len(SKINS)))
    assert max(look.width for look in looks) > 1.25 * min(look.width for look in looks)
    assert all(look.bottom not in ("skirt", "dress") for look in looks if look.kind == "man")
