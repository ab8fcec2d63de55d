"""Drawn figures: each pose has a silhouette of its own."""

import numpy as np
from PIL import Image, ImageDraw

from demo.world.figures import draw_person
from demo.world.looks import random_look
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
