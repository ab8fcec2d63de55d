"""Named poses of the drawn people: limb angles on a small 2-D kinematic chain, with joint limits.

Angles are degrees in the picture plane: 0 points down, 90 to the right, 180 up. Side views face
right and have the person's right side nearest; mirroring swaps left and right afterwards. In side
views elbows bend only forward and knees only backward.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Ground = Literal["feet", "air", "hands", "seat", "board", "cut"]
Prop = Literal["none", "bench", "ball", "board", "umbrella"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """One named pose; pairs are (upper, lower) segment of arm or leg, by default hanging down."""

    name: str
    actions: tuple[str, ...]  # how captions say it, present participle first
    right_arm: tuple[float, float] = (-14.0, -8.0)
    left_arm: tuple[float, float] = (14.0, 8.0)
    right_leg: tuple[float, float] = (-5.0, -3.0)
    left_leg: tuple[float, float] = (5.0, 3.0)
    lean: float = 0.0  # of hip-to-neck against straight up, positive to the right
    head: float = 0.0  # of neck-to-head, added to the lean
    side: bool = False  # side view instead of front view
    jitter_deg: float = 7.0
    ground: Ground = "feet"
    prop: Prop = "none"
    skirt: bool = True  # a skirt hangs believably


POSES: tuple[Pose, ...] = (
    Pose(name="standing", actions=("standing", "standing still")),
    Pose(
        name="walking", actions=("walking", "taking a walk"), side=True, lean=3, jitter_deg=6,
        right_arm=(-26, -10), left_arm=(26, 44), right_leg=(24, 14), left_leg=(-20, -34),
    ),
    Pose(
        name="running", actions=("running", "running fast"), side=True, lean=15, jitter_deg=7,
        right_arm=(-62, 28), left_arm=(48, 135), right_leg=(60, -12), left_leg=(-34, -72),
    ),
    Pose(
        name="jumping", actions=("jumping", "jumping in the air"), ground="air", jitter_deg=9,
        right_arm=(-138, -156), left_arm=(138, 156), right_leg=(-40, -26), left_leg=(40, 26),
    ),
    Pose(
        name="yoga", actions=("doing yoga", "practicing yoga"), jitter_deg=4, skirt=False,
        right_arm=(-148, 158), left_arm=(148, -158), right_leg=(-58, 68), left_leg=(1, 0),
    ),
    Pose(
        name="yoga", actions=("doing yoga", "practicing yoga"), jitter_deg=4, skirt=False,
        right_arm=(-90, -90), left_arm=(90, 90), right_leg=(-66, -2), left_leg=(42, 42),
    ),
    Pose(
        name="dancing", actions=("dancing", "dancing happily"), lean=10, head=8, jitter_deg=10,
        right_arm=(-72, -150), left_arm=(118, 160), right_leg=(-10, -4), left_leg=(46, -26),
    ),
    Pose(
        name="dancing", actions=("dancing", "dancing happily"), lean=-12, head=-6, jitter_deg=10,
        right_arm=(-44, 62), left_arm=(112, 165), right_leg=(-34, 10), left_leg=(26, 12),
    ),
    Pose(
        name="sitting", actions=("sitting on a bench", "sitting"), side=True, jitter_deg=4,
        right_arm=(18, 62), left_arm=(24, 70), right_leg=(84, 2), left_leg=(80, -6),
        lean=-4, ground="seat", prop="bench",
    ),
    Pose(
        name="waving", actions=("waving", "waving a hand"), jitter_deg=8,
        right_arm=(-112, -172), left_arm=(14, 8),
    ),
    Pose(
        name="kicking", actions=("kicking a ball", "playing football"), side=True, lean=-14,
        right_arm=(-58, -34), left_arm=(52, 76), right_leg=(74, 62), left_leg=(-6, -20),
        prop="ball", skirt=False,
    ),
    Pose(
        name="arms_up", actions=("raising both arms", "with both arms raised"), jitter_deg=7,
        right_arm=(-160, -172), left_arm=(160, 172),
    ),
    Pose(
        name="surfing", actions=("riding a surfboard", "surfing"), ground="board", jitter_deg=7,
        right_arm=(-78, -92), left_arm=(74, 96), right_leg=(-56, 8), left_leg=(58, 8),
        lean=8, head=-6, prop="board", skirt=False,
    ),
    Pose(
        name="handstand", actions=("doing a handstand", "standing on both hands"), lean=180,
        right_arm=(16, 6), left_arm=(-16, -6), right_leg=(172, 176), left_leg=(-164, -172),
        jitter_deg=6, ground="hands", skirt=False,
    ),
    Pose(
        name="squatting", actions=("squatting", "crouching down"), side=True, lean=24, head=-12,
        right_arm=(64, 88), left_arm=(70, 94), right_leg=(98, -36), left_leg=(92, -42),
        jitter_deg=5, skirt=False,
    ),
    Pose(
        name="umbrella", actions=("holding an umbrella", "standing under an umbrella"),
        right_arm=(-34, -158), left_arm=(14, 8), prop="umbrella", jitter_deg=5,
    ),
    Pose(
        name="smiling", actions=("smiling at the camera", "smiling"), ground="cut", jitter_deg=8,
    ),
)  # fmt: skip
"""Every pose; some names have two variants. All are distinct in silhouette."""

POSE_NAMES: tuple[str, ...] = tuple(dict.fromkeys(pose.name for pose in POSES))


def _bend(upper: float, lower: float, *, low: float, high: float) -> float:
    """The lower segment's angle with its bend against the upper one kept within limits."""
    bend = (lower - upper + 180) % 360 - 180
    return upper + float(np.clip(bend, low, high))


def jittered(pose: Pose, rng: np.random.Generator) -> Pose:
    """The pose with every angle moved at random, inside the joint limits."""

    def pair(angles: tuple[float, float], *, leg: bool) -> tuple[float, float]:
        spread = pose.jitter_deg * (0.6 if leg else 1.0)
        upper, lower = (a + float(rng.normal(0, spread)) for a in angles)
        if pose.side:
            low, high = (-150.0, 2.0) if leg else (-2.0, 150.0)
        else:
            low, high = -150.0, 150.0
        return upper, _bend(upper, lower, low=low, high=high)

    return replace(
        pose,
        right_arm=pair(pose.right_arm, leg=False),
        left_arm=pair(pose.left_arm, leg=False),
        right_leg=pair(pose.right_leg, leg=True),
        left_leg=pair(pose.left_leg, leg=True),
        lean=pose.lean + float(rng.normal(0, 0.4 * pose.jitter_deg)),
        head=pose.head + float(rng.normal(0, 0.6 * pose.jitter_deg)),
    )
