"""The apparent skin tone of a drawn person's face: the individual typology angle of its cheeks.

It measures how light a face is *in the picture*: light, white balance and style count as much as
skin does. It is no statement about anybody's descent. Pure numpy on records.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.colour import median_lab
from hcp.evaluation.people import MIN_CONFIDENCE
from storage.records import Person

Image8 = NDArray[np.uint8]
Points = NDArray[np.float64]

TONES: tuple[tuple[str, float], ...] = (
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -math.inf),
)
"""Names and the angles above which they begin (Chardon et al. 1991; Del Bino and Bernerd 2013)."""

MIN_PIXELS = 8
"""Of both cheeks together; fewer say nothing."""
MIN_YELLOW = 2.0
"""Least b* of skin: without it the picture has no colour, or a coloured light, and no angle."""
CHEEK_SHARE, CHEEK_RADIUS, CHEEK_DROP = 0.45, 0.28, 0.1
"""From nose to ear, in distances of the two: where the cheek's middle lies, how large its disc is,
and how far below that line. So eyes, glasses, brows, hair, forehead, mouth and most of a beard
stay outside; what gets in is outvoted, since the median counts. Ours."""
EAR_PER_EYE = 1.15
"""From the middle of the eyes to an ear that hair hides, in distances between the eyes."""

NOSE, EYES, EARS = 0, (1, 2), (3, 4)


def typology_angle(lab: Sequence[float] | Points) -> float:
    """ITA in degrees of a CIELAB colour: ``arctan((L* - 50) / b*)`` (Chardon et al. 1991).

    The lighter, the larger; light skin is above 41, dark skin below -30.

    Raises:
        ValueError: b* is not above 0, where the angle does not order colours by their lightness.
    """
    lightness, _, yellow = (float(v) for v in lab)
    if yellow <= 0:
        raise ValueError(f"typology_angle: b* must be above 0, got {yellow}")
    return math.degrees(math.atan((lightness - 50.0) / yellow))


def skin_tone(image: Image8, person: Person) -> float | None:
    """The typology angle of a person's cheeks in degrees.

    Args:
        image: HWC uint8 RGB.
    Returns:
        None where the face is turned away, too small, outside the picture, or without colour.
    """
    pixels = [_disc(image, *cheek) for cheek in _cheeks(person)]
    if not pixels or sum(len(each) for each in pixels) < MIN_PIXELS:
        return None
    lab = median_lab(np.concatenate(pixels))
    return typology_angle(lab) if lab[2] > MIN_YELLOW else None


def _cheeks(person: Person) -> list[tuple[Points, float]]:
    """Middle (x, y) and radius, in pixels, of the one or two cheeks that are seen."""
    points = np.array(person.keypoints, dtype=np.float64).reshape(17, 3)
    seen, xy = points[:, 2] >= MIN_CONFIDENCE, points[:, :2]
    found: list[tuple[Points, float]] = []
    for side in (0, 1):
        ear = _ear(xy, seen, side)
        if ear is None or not seen[[NOSE, EYES[side]]].all():
            continue
        across = ear - xy[NOSE]
        size = float(np.hypot(*across))
        middle = xy[NOSE] + CHEEK_SHARE * across
        away = middle - xy[EYES[side]]
        drop = CHEEK_DROP * size / max(float(np.hypot(*away)), 1e-6)
        found.append((middle + drop * away, CHEEK_RADIUS * size))
    return found


def _ear(xy: Points, seen: NDArray[np.bool_], side: int) -> Points | None:
    if seen[EARS[side]]:
        return xy[EARS[side]]
    if not seen[list(EYES)].all():
        return None
    eye, other = xy[EYES[side]], xy[EYES[1 - side]]
    return 0.5 * (eye + other) + EAR_PER_EYE * (eye - other)


def _disc(image: Image8, middle: Points, radius: float) -> Image8:
    """The pixels [N, 3] whose centres lie in a disc; those outside the picture are left out."""
    low = np.maximum(np.floor(middle - radius), 0).astype(int)
    high = np.maximum(np.ceil(middle + radius), 0).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    y, x = np.ogrid[: part.shape[0], : part.shape[1]]
    inside = np.hypot(x + low[0] + 0.5 - middle[0], y + low[1] + 0.5 - middle[1]) <= radius
    return part[inside]
