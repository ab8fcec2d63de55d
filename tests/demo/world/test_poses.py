"""Joint limits, and jitter within them."""

import numpy as np
import pytest

from demo.world.poses import POSES, Pose, jittered


def _bend(pose: Pose, limb: str) -> float:
    upper, lower = getattr(pose, limb)
    return (lower - upper + 180) % 360 - 180


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
