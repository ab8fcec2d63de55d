"""What the evaluation counts on detected people: pure numpy on records, one image at a time.

The definitions are ours (DESIGN 7); none is taken from the paper.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.records import Person, Span

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


def measure_people(people: Sequence[Person], *, n_expected: int | None) -> PeopleMeasures:
    """All measures of one image from its detections (any score; weak ones are left out here)."""
    counted = sorted((p for p in people if p.score >= MIN_SCORE), key=lambda p: -p.score)
    confidences = [c for p in counted for _, _, c in p.keypoints if c >= MIN_CONFIDENCE]
    flags = [flag for p in counted for flag in limb_flags(p)]
    return PeopleMeasures(
        n_detected=len(counted),
        n_expected=n_expected,
        detected=bool(counted),
        count_error=None if n_expected is None else abs(len(counted) - n_expected),
        keypoint_confidence=float(np.mean(confidences)) if confidences else None,
        implausible_limbs=float(np.mean(flags)) if flags else None,
        people_score=people_score(counted, n_expected=n_expected),
    )


def people_score(people: Sequence[Person], *, n_expected: int | None) -> float:
    """How well the prompt's people are drawn, in [0, 1].

    The mean over the n best-scored people, n the number the prompt asks for (1 where it is
    unknown), of detection score * mean confidence of the seen keypoints * (1 - share of
    implausible limbs). A missing person counts 0; a surplus one is left to the count error.
    """
    n = max(n_expected or 1, 1)
    best = sorted(people, key=lambda p: -p.score)[:n]
    return float(sum(person_quality(person) for person in best) / n)


def person_quality(person: Person) -> float:
    """Detection score * mean confidence of seen keypoints * (1 - share of implausible limbs)."""
    seen = [c for _, _, c in person.keypoints if c >= MIN_CONFIDENCE]
    if not seen:
        return 0.0
    flags = limb_flags(person)
    plausible = 1.0 - (float(np.mean(flags)) if flags else 0.0)
    return float(person.score * np.mean(seen) * plausible)


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


NUMBER_WORDS = {
    word: n
    for n, words in {
        1: "a an one single lone another this that",
        2: "two both pair couple duo",
        3: "three trio",
        4: "four quartet",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
    }.items()
    for word in words.split()
}
GROUP_NOUNS = {"couple": 2, "pair": 2, "duo": 2, "twins": 2, "trio": 3, "quartet": 4}
COLLECTIVE_NOUNS = {"group", "crowd", "team", "family", "band", "audience", "class", "gang", "crew"}
IRREGULAR_PLURALS = {"people", "men", "women", "children", "persons", "kids"}
_WORD = re.compile(r"[a-z]+|\d+|[,.;:]", re.IGNORECASE)


def expected_people(prompt: str, spans: Sequence[Span]) -> int | None:
    """How many people the prompt asks for: 0 without human words, None where it does not say.

    Each person word counts the number word before it ("two young dancers"), 1 if it is singular.
    "people", "a group of women" or a prompt with an action and no person word: None.
    """
    if not spans:
        return 0
    persons = [span for span in spans if span.kind == "person"]
    counts = [_count_of(prompt, span, previous) for span, previous in _with_previous(persons)]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _with_previous(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    ends = [0, *(span.end for span in spans)]
    return list(zip(spans, ends, strict=False))


def _count_of(prompt: str, span: Span, start: int) -> int | None:
    noun = span.text.lower().split()[-1]
    if noun in GROUP_NOUNS:
        return GROUP_NOUNS[noun]
    before = [word.lower() for word in _WORD.findall(prompt[start : span.start])]
    if before[-1:] == ["of"]:
        # "a couple of dancers" counts the couple; "a group of three men" the men; a person word
        # before the "of" ("team of players") was the previous span and has said what is known.
        return GROUP_NOUNS.get(before[-2]) if len(before) > 1 else 0
    number = _last_number(before)
    if noun in COLLECTIVE_NOUNS:
        return None
    if noun in IRREGULAR_PLURALS or (noun.endswith("s") and not noun.endswith("ss")):
        return number if number is not None and number > 1 else None
    return number if number is not None else 1


def _last_number(words: Sequence[str]) -> int | None:
    for word in reversed(words):
        if word in {",", ".", ";", ":", "and", "with", "near", "by", "for", "of", "in", "on", "at"}:
            return None
        if word.isdigit():
            return int(word)
        if word in NUMBER_WORDS:
            return NUMBER_WORDS[word]
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int  # resampled units (prompts)


def paired_interval(
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    groups: Sequence[int],
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile-bootstrap interval of the mean paired difference `ours - theirs`.

    Images of one prompt resemble each other, so whole groups (prompts) are resampled.

    Raises:
        ValueError: lengths differ or there is nothing to compare.
    """
    if not len(ours) == len(theirs) == len(groups) or not len(ours):
        raise ValueError(
            f"paired_interval needs equal, non-zero lengths, got {len(ours)}, {len(theirs)}, "
            f"{len(groups)}"
        )
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    totals, counts = np.bincount(index, weights=difference), np.bincount(index)
    draws = np.random.default_rng(seed).integers(len(counts), size=(n_resamples, len(counts)))
    means = totals[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(difference.mean()), low=float(low), high=float(high), n=len(counts))
