"""Faces by their keypoints: where they are, how they look close up, how sure the detector is.

The box's rule is ours: a head's width is told from the farthest of its points that are seen, so
that it serves for faces from the front and from the side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from hcp.evaluation.fidelity.space import Image8
from hcp.evaluation.interval import mean_of_known
from hcp.evaluation.people import MIN_CONFIDENCE, counted_people
from storage.records import Box, Person

NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = FACE = range(5)
MIN_POINTS = 3
"""So many of nose, eyes and ears must be seen to say where a face is."""
HEAD_WIDTHS: Mapping[tuple[int, int], float] = {
    (LEFT_EAR, RIGHT_EAR): 1.0,
    (LEFT_EYE, RIGHT_EYE): 2.2,
    (NOSE, LEFT_EAR): 1.1,
    (NOSE, RIGHT_EAR): 1.1,
}
"""How many of these distances make a head's width; the largest of them counts."""
SIDE_PER_WIDTH = 1.6
"""The box reaches from the hair to the chin."""
CROP_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """Face crops of one size and the pictures that they are from."""

    crops: tuple[Image8, ...]
    places: tuple[int, ...]  # of each crop: the index of its picture
    n_small: int  # faces that were left out as too small


def face_box(person: Person) -> Box | None:
    """The square around a face, xyxy in pixels; None where too little of it is seen."""
    points = np.array(person.keypoints[: len(FACE)], dtype=np.float64)
    seen = points[:, 2] >= MIN_CONFIDENCE
    widths = [
        times * float(np.hypot(*(points[a, :2] - points[b, :2])))
        for (a, b), times in HEAD_WIDTHS.items()
        if seen[a] and seen[b]
    ]
    if seen.sum() < MIN_POINTS or not widths:
        return None
    x, y = (points[seen, :2].min(axis=0) + points[seen, :2].max(axis=0)) / 2
    half = SIDE_PER_WIDTH * max(widths) / 2
    return float(x - half), float(y - half), float(x + half), float(y + half)


def face_crops(
    images: Sequence[Image8], people: Sequence[Sequence[Person]], *, min_side_px: int
) -> Faces:
    """The faces of all people who count, enlarged or reduced to ``CROP_PX``.

    What lies outside the picture repeats its border.
    """
    crops: list[Image8] = []
    places: list[int] = []
    n_small = 0
    for place, (image, found) in enumerate(zip(images, people, strict=True)):
        for box in filter(None, map(face_box, counted_people(found))):
            if box[2] - box[0] < min_side_px:
                n_small += 1
                continue
            crops.append(_cut(image, box))
            places.append(place)
    return Faces(crops=tuple(crops), places=tuple(places), n_small=n_small)


def face_confidence(people: Sequence[Person], *, min_side_px: int) -> float | None:
    """Mean confidence of nose, eyes and ears over the people who count; None without people.

    A face that is not found counts with the little confidence that it has; one that is found and
    too small does not count.
    """
    sure: list[float | None] = []
    for person in counted_people(people):
        box = face_box(person)
        if box is None or box[2] - box[0] >= min_side_px:
            sure.append(float(np.mean([c for _, _, c in person.keypoints[: len(FACE)]])))
    return mean_of_known(sure)


def _cut(image: Image8, box: Box) -> Image8:
    left, top, right, bottom = (round(edge) for edge in box)
    height, width = image.shape[:2]
    rows = np.arange(top, max(bottom, top + 1)).clip(0, height - 1)
    columns = np.arange(left, max(right, left + 1)).clip(0, width - 1)
    whole = Image.fromarray(np.ascontiguousarray(image[rows][:, columns]))
    return np.asarray(whole.resize((CROP_PX, CROP_PX), Image.Resampling.BICUBIC))
