"""Proportions of a drawn person's body, as the picture shows them: ratios of joint distances.

A picture shortens what points to the camera, so that each ratio is taken only where the body stands
as it needs. They compare two models on the same prompts; none measures a body. Ours (DESIGN 7).
"""

import math

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.people import MIN_CONFIDENCE
from storage.records import Person

MIN_HIPS = 0.2
"""Least hip width, in torso lengths, of a body that is seen from the front or from behind."""
MAX_LEAN_DEG = 20.0
"""Of a standing person's torso against straight up."""
MIN_STRETCHED = 0.92
"""Least hip-to-ankle distance of a standing leg, against thigh and shin together."""
CUTS = np.linspace(0.3, 0.75, 10)
"""Where a trunk's width is taken, from shoulders to hips: the narrowest cut has the fewest arms."""
_STEP_PX = 0.25

EARS, SHOULDERS, HIPS, KNEES, ANKLES = (3, 4), (5, 6), (11, 12), (13, 14), (15, 16)


class Joints:
    """A person's joints with their distances in pixels."""

    def __init__(self, person: Person) -> None:
        points = np.array(person.keypoints, dtype=np.float64).reshape(17, 3)
        self.xy: NDArray[np.float64] = points[:, :2]
        self._seen: NDArray[np.bool_] = points[:, 2] >= MIN_CONFIDENCE

    def sees(self, *joints: int) -> bool:
        """Whether all of these are seen."""
        return bool(self._seen[list(joints)].all())

    def width(self, pair: tuple[int, int]) -> float:
        """Distance of a left joint from its right twin."""
        return float(np.hypot(*(self.xy[pair[0]] - self.xy[pair[1]])))

    def torso(self) -> NDArray[np.float64]:
        """From the middle of the shoulders to that of the hips, [2]."""
        return self.xy[list(HIPS)].mean(axis=0) - self.xy[list(SHOULDERS)].mean(axis=0)


def shoulders_to_torso(person: Person) -> float | None:
    """Shoulder width over torso length; None unless the torso is seen from front or behind."""
    found = _frontal_torso(person)
    return None if found is None else found[0].width(SHOULDERS) / found[1]


def hips_to_shoulders(person: Person) -> float | None:
    """Hip width over shoulder width; None unless the torso is seen from front or behind."""
    found = _frontal_torso(person)
    return None if found is None else found[0].width(HIPS) / found[0].width(SHOULDERS)


def head_to_torso(person: Person) -> float | None:
    """Distance of the ears over torso length: larger in children; None unless seen as above."""
    found = _frontal_torso(person)
    if found is None or not found[0].sees(*EARS):
        return None
    return found[0].width(EARS) / found[1]


def standing_aspect(person: Person) -> float | None:
    """Width over height of a standing person's box.

    None unless torso and legs are seen, upright and stretched. Arms and clothes widen a box too.
    """
    joints = Joints(person)
    if not joints.sees(*SHOULDERS, *HIPS, *KNEES, *ANKLES):
        return None
    across, down = joints.torso()
    if abs(math.degrees(math.atan2(across, down))) > MAX_LEAN_DEG:
        return None
    if not all(_stretched(joints, side) for side in (0, 1)):
        return None
    left, top, right, bottom = person.bbox_xyxy_px
    return (right - left) / (bottom - top) if bottom > top else None


def trunk_to_torso(person: Person, mask: NDArray[np.bool_]) -> float | None:
    """Width of the trunk over torso length, from the person's mask [H, W].

    The narrowest of ten cuts across the torso: the mask's run that holds the torso's axis. Clothes
    count, and arms where they hang over every cut. None where the torso is not seen or no cut
    meets the mask.
    """
    joints = Joints(person)
    if not joints.sees(*SHOULDERS, *HIPS):
        return None
    torso = joints.torso()
    length = float(np.hypot(*torso))
    if length <= 0:
        return None
    across = np.array([-torso[1], torso[0]]) / length
    middles = joints.xy[list(SHOULDERS)].mean(axis=0) + CUTS[:, None] * torso
    halves = [_runs(mask, middles, sign * across, 1.5 * length) for sign in (1.0, -1.0)]
    widths = (halves[0] + halves[1]) / length
    return float(widths.min()) if widths.min() > 0 else None


def _runs(
    mask: NDArray[np.bool_],
    starts: NDArray[np.float64],
    direction: NDArray[np.float64],
    reach_px: float,
) -> NDArray[np.float64]:
    # How far from each start, in pixels, the mask goes on in the direction.
    steps = np.arange(0.0, reach_px, _STEP_PX)
    points = np.floor(starts[:, None] + steps[:, None] * direction).astype(int)
    x, y = points[..., 0], points[..., 1]
    inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    hit = inside & mask[y.clip(0, mask.shape[0] - 1), x.clip(0, mask.shape[1] - 1)]
    return np.logical_and.accumulate(hit, axis=1).sum(axis=1) * _STEP_PX


def _frontal_torso(person: Person) -> tuple[Joints, float] | None:
    # the joints with the torso's length
    joints = Joints(person)
    if not joints.sees(*SHOULDERS, *HIPS):
        return None
    length = float(np.hypot(*joints.torso()))
    if length <= 0 or joints.width(HIPS) < MIN_HIPS * length or joints.width(SHOULDERS) <= 0:
        return None
    return joints, length


def _stretched(joints: Joints, side: int) -> bool:
    hip, knee, ankle = (joints.xy[pair[side]] for pair in (HIPS, KNEES, ANKLES))
    thigh, shin, whole = (float(np.hypot(*v)) for v in (hip - knee, knee - ankle, hip - ankle))
    below = ankle[1] - hip[1] > 0.5 * whole
    return bool(below and whole >= MIN_STRETCHED * (thigh + shin))
