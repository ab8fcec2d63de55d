"""What the evaluation counts on detected people: pure numpy on records, one image at a time.

The definitions are ours (DESIGN 7); none is taken from the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.records import Person

MIN_SCORE = 0.35
"""Detections below this score are not counted as people (the extraction gate's default)."""
MIN_CONFIDENCE = 0.3
"""Keypoints below this confidence are not seen."""

LIMBS = {
    "upper_arm": ((5, 7), (6, 8)),
    "forearm": ((7, 9), (8, 10)),
    "thigh": ((11, 13), (12, 14)),
    "shin": ((13, 15), (14, 16)),
}
MAX_LIMB_TO_TORSO = {"upper_arm": 1.2, "forearm": 0.95, "thigh": 1.5, "shin": 1.55}
"""In torso lengths, about a tenth above the longest of 303 limbs that people marked in 36 COCO
photos. Foreshortening may draw a limb as short as it likes, so only an upper bound tells."""
TORSO_PER_SHOULDERS = 1.2
"""The torso counts at least this many shoulder widths: one bent to the camera looks short."""


NOT_AS_ASKED = 0.25
"""What a person counts who does not do what the prompt says, against one who does. Of 1/20 to 3/4
all up to about a third rank as many wrong poses right (drawn pairs of seeds from 2,500,000 on,
which no reported figure is of); the smaller ones make a right body in a wrong pose nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What further judges say of a detected person; None: not asked, or it cannot be told."""

    soundness: float | None = None  # of the body in [0, 1], see hcp.evaluation.bodies
    as_asked: bool | None = None  # whether they do what the prompt says, see hcp.evaluation.poses


NO_OPINION = Opinion()


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleMeasures:
    """What was seen in one image; None where it is not defined."""

    n_detected: int
    n_expected: int | None  # from the prompt
    detected: bool  # at least one person
    count_error: int | None  # |detected - expected|
    keypoint_confidence: float | None  # mean over seen keypoints and people
    implausible_limbs: float | None  # share of measurable limbs that are too long
    people_score: float  # in [0, 1], see `people_score`


def measure_people(
    people: Sequence[Person], *, n_expected: int | None, opinions: Sequence[Opinion] = ()
) -> PeopleMeasures:
    """All measures of one image from its detections (any score; weak ones are left out here).

    ``opinions`` of each of the people, in their order; empty: nobody else was asked.
    """
    counted = counted_people(people)
    confidences = [c for p in counted for _, _, c in p.keypoints if c >= MIN_CONFIDENCE]
    flags = [flag for p in counted for flag in limb_flags(p)]
    return PeopleMeasures(
        n_detected=len(counted),
        n_expected=n_expected,
        detected=bool(counted),
        count_error=None if n_expected is None else abs(len(counted) - n_expected),
        keypoint_confidence=float(np.mean(confidences)) if confidences else None,
        implausible_limbs=float(np.mean(flags)) if flags else None,
        people_score=people_score(people, n_expected=n_expected, opinions=opinions),
    )


def counted_people(people: Sequence[Person]) -> list[Person]:
    """The detections that count as people, best first."""
    return sorted((p for p in people if p.score >= MIN_SCORE), key=lambda p: -p.score)


def people_score(
    people: Sequence[Person], *, n_expected: int | None, opinions: Sequence[Opinion] = ()
) -> float:
    """How well the prompt's people are drawn, in [0, 1].

    The mean `person_quality` of the n best-scored people who count, n the number the prompt asks
    for (1 where it is unknown). A missing person counts 0; a surplus one is left to the count
    error. Which faults of a body it sees is measured: ``benchmarks.bench_judge``.
    """
    n = max(n_expected or 1, 1)
    asked = opinions or [NO_OPINION] * len(people)
    both = [(p, o) for p, o in zip(people, asked, strict=True) if p.score >= MIN_SCORE]
    best = sorted(both, key=lambda pair: -pair[0].score)[:n]
    return float(sum(person_quality(person, opinion) for person, opinion in best) / n)


def person_quality(person: Person, opinion: Opinion = NO_OPINION) -> float:
    """How well one person is drawn, in [0, 1]: a product of what is known.

    Detection score * mean confidence of seen keypoints * (1 - share of implausible limbs), times
    the body's soundness where a body judge gave one, times `NOT_AS_ASKED` for somebody who does not
    do what the prompt says.
    """
    seen = [c for _, _, c in person.keypoints if c >= MIN_CONFIDENCE]
    if not seen:
        return 0.0
    flags = limb_flags(person)
    plausible = 1.0 - (float(np.mean(flags)) if flags else 0.0)
    sound = 1.0 if opinion.soundness is None else opinion.soundness
    asked = NOT_AS_ASKED if opinion.as_asked is False else 1.0
    return float(person.score * np.mean(seen) * plausible * sound * asked)


def limb_flags(person: Person) -> list[bool]:
    """For each limb that can be measured: is it longer than a body's proportions allow?

    A limb is measurable if both its ends and the whole torso (shoulders and hips) are seen.
    """
    points = np.array(person.keypoints, dtype=np.float64)
    seen = points[:, 2] >= MIN_CONFIDENCE
    if not seen[[5, 6, 11, 12]].all():
        return []
    xy = points[:, :2]
    scale = max(
        _distance(xy[[5, 6]].mean(axis=0), xy[[11, 12]].mean(axis=0)),
        TORSO_PER_SHOULDERS * _distance(xy[5], xy[6]),
    )
    return [
        bool(_distance(xy[a], xy[b]) > MAX_LIMB_TO_TORSO[name] * scale)
        for name, pair in LIMBS.items()
        for a, b in pair
        if seen[a] and seen[b]
    ]


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.hypot(*(a - b)))
