"""Pose images: colours and places of joints, what is left out."""

import numpy as np

from hcp.pose_image import draw_pose


def _person(confidence: float = 0.9):
    return [(10.0 + 5 * i, 20.0 + 3 * i, confidence) for i in range(17)]


def test_joints_have_openpose_colours_where_they_are():
    image = draw_pose([_person()], width_px=120, height_px=90)
    assert image.shape == (90, 120, 3)
    assert image.dtype == np.uint8
    x, y, _ = _person()[0]
    assert tuple(image[int(y), int(x)]) == (255, 0, 0)
    x, y, _ = _person()[10]
    assert tuple(image[int(y), int(x)]) == (170, 255, 0)
    assert not image[:5, 110:].any()


def test_weak_or_impossible_points_are_not_drawn():
    assert not draw_pose([_person(0.29)], width_px=99, height_px=90).any()
    assert not draw_pose([], width_px=9, height_px=9).any()
    assert not draw_pose([[(float("nan"), 1.0, 1.0)] * 17], width_px=9, height_px=9).any()
    one = [(30.0, 30.0, 1.0), *[(60.0, 60.0, 0.0)] * 16]
    drawn = draw_pose([one], width_px=99, height_px=90)
    assert drawn[30, 30].any()
    assert not drawn[50:, 50:].any()


def test_points_outside_the_image_are_cut():
    far = [(-1e4 + i, 1e5, 1.0) for i in range(17)]
    assert not draw_pose([far], width_px=40, height_px=30).any()
