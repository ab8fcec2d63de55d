"""Drawn figures: each pose has a silhouette of its own, heads look where the skeleton looks."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demo.world.figures import draw_back_hair, draw_head, draw_person
from demo.world.looks import HAIRS, STYLES, Look, random_look
from demo.world.poses import POSE_NAMES, POSES, Pose
from demo.world.skeleton import pose_skeleton


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


FRONT = next(p for p in POSES if p.name == "standing")
SIDE = next(p for p in POSES if p.name == "walking")


def _look(style: str, pose: Pose) -> Look:
    look = random_look(np.random.default_rng(0), pose=pose, kind="woman")
    return replace(look, style=style, hair="blond", skin=2, head=1.0)


def _head(style: str, pose: Pose, *, mirror: bool = False) -> np.ndarray:
    look = _look(style, pose)
    body = pose_skeleton(pose, look)
    x, y = body["head"]
    sign = -1 if mirror else 1
    placed = body.placed(400.0, (64 - sign * 400 * x, 64 - 400 * y), mirror=mirror)
    image = Image.new("RGB", (128, 128))
    draw_head(ImageDraw.Draw(image), placed, look, pose)
    return np.asarray(image).astype(int)


def _hair(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture - HAIRS["blond"]).sum(axis=-1) < 30


@pytest.mark.parametrize("style", sorted({s for styles in STYLES.values() for s in styles}))
@pytest.mark.parametrize("pose", [FRONT, SIDE], ids=["front", "side"])
def test_a_head_is_drawn_around_its_joint(style: str, pose: Pose) -> None:
    drawn = _head(style, pose).any(axis=-1)
    assert drawn[54:74, 54:74].all()
    assert 0.1 < drawn.mean() < 0.6


def test_bald_heads_have_no_hair() -> None:
    assert _hair(_head("bald", FRONT)).sum() == 0
    assert _hair(_head("short", FRONT)).sum() > 100


def test_profiles_have_their_hair_behind_also_when_mirrored() -> None:
    def behind(picture: np.ndarray) -> float:  # columns of the hair against the whole head's
        head = np.nonzero(picture.any(axis=-1))[1].mean()
        return float(np.nonzero(_hair(picture))[1].mean() - head)

    assert behind(_head("short", SIDE)) < -1  # faces right
    assert behind(_head("short", SIDE, mirror=True)) > 1


def test_long_hair_falls_below_the_head() -> None:
    look = _look("long", FRONT)
    body = pose_skeleton(FRONT, look)
    x, y = body["head"]
    image = Image.new("RGB", (128, 128))
    placed = body.placed(300.0, (64 - 300 * x, 48 - 300 * y))
    draw_back_hair(ImageDraw.Draw(image), placed, look)
    assert np.flatnonzero(np.asarray(image).any(axis=(1, 2))).max() > placed["neck"][1]
