"""The OpenPose-style key pose image of the paper."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from storage.records import Keypoint

Colour = tuple[int, int, int]

# OpenPose's 18 points in COCO's numbering; NECK is the middle of the shoulders.
_NECK = 17
_POINT_ORDER = (0, _NECK, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_LIMBS = (
    (_NECK, 6), (_NECK, 5), (6, 8), (8, 10), (5, 7), (7, 9), (_NECK, 12), (12, 14), (14, 16),
    (_NECK, 11), (11, 13), (13, 15), (_NECK, 0), (0, 2), (2, 4), (0, 1), (1, 3),
)  # fmt: skip
_COLOURS: tuple[Colour, ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_MIN_CONFIDENCE = 0.3
_LIMB_SHADE = 0.6  # as ControlNet's renderer: limbs darker than joints


def draw_pose(
    people_keypoints: Sequence[Sequence[Keypoint]],
    *,
    width_px: int,
    height_px: int,
    line_px: int = 4,
) -> NDArray[np.uint8]:
    """Skeletons in OpenPose's colours on black, HWC uint8 RGB.

    Args:
        people_keypoints: per person 17 COCO keypoints (x_px, y_px, confidence); points below
            0.3 are not drawn, nor are limbs that end in one.
        line_px: width of limbs; joints are discs of twice that diameter.
    """
    canvas = Image.new("RGB", (width_px, height_px))
    draw = ImageDraw.Draw(canvas)
    for keypoints in people_keypoints:
        draw_skeleton(draw, keypoints, line_px=line_px)
    return np.array(canvas, dtype=np.uint8)


def draw_skeleton(
    draw: ImageDraw.ImageDraw, keypoints: Sequence[Keypoint], *, line_px: int
) -> None:
    """Draw one person's skeleton over what is there, as ``draw_pose`` does on black."""
    points = _visible(keypoints)
    for (start, end), colour in zip(_LIMBS, _COLOURS, strict=False):
        if start in points and end in points:
            shade = tuple(round(_LIMB_SHADE * channel) for channel in colour)
            draw.line([points[start], points[end]], fill=shade, width=line_px)
    for index, colour in zip(_POINT_ORDER, _COLOURS, strict=True):
        if index in points:
            x_px, y_px = points[index]
            draw.ellipse([x_px - line_px, y_px - line_px, x_px + line_px, y_px + line_px], colour)


def _visible(keypoints: Sequence[Keypoint]) -> dict[int, tuple[float, float]]:
    points = {
        index: (x_px, y_px)
        for index, (x_px, y_px, confidence) in enumerate(keypoints)
        if confidence >= _MIN_CONFIDENCE and math.isfinite(x_px) and math.isfinite(y_px)
    }
    if 5 in points and 6 in points:
        (ax, ay), (bx, by) = points[5], points[6]
        points[_NECK] = ((ax + bx) / 2, (ay + by) / 2)
    return points
