"""From pictures and attention maps to an evaluation report; nothing is drawn here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.interval import Interval, mean_of_known, paired_interval
from hcp.evaluation.mechanism import PhotoMaps, attention_share
from hcp.evaluation.opinions import opinions_of
from hcp.evaluation.people import PeopleMeasures, measure_people
from hcp.evaluation.poses import PoseBook
from hcp.evaluation.results import (
    BASE,
    CANDIDATE,
    CHAMPION,
    ArmReport,
    Comparison,
    EvaluationConfig,
    EvaluationReport,
    Scores,
)
from hcp.evaluation.similarity import TextScorer
from hcp.tokens.counting import expected_people
from storage.records import Person

Image8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """What was drawn: item i of every list belongs to prompt i and seed i."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    images: Mapping[str, Sequence[Image8]]  # arm -> pictures
    people: Mapping[str, Sequence[Sequence[Person]]]  # arm -> detections, any score
    soundness: Mapping[str, Sequence[Sequence[float]]] = field(
        default_factory=dict[str, Sequence[Sequence[float]]]
    )
    """Arm -> of each of the detections, in [0, 1]; empty where no body judge looked at them."""


def compare(
    pictures: Pictures,
    photos: Mapping[str, Sequence[PhotoMaps]],
    *,
    config: EvaluationConfig,
    text_scorer: TextScorer | None = None,
    poses: PoseBook | None = None,
) -> EvaluationReport:
    """The report on pictures and attention maps that are there already.

    With ``poses`` the people score asks whether people do what the prompt says.
    """
    missing: dict[str, str] = {}
    people = people_measures(pictures, poses)
    texts: dict[str, list[float]] = {}
    if text_scorer is None:
        missing["text_score"] = "no CLIP model is configured"
    else:
        texts = {n: text_scorer(drawn, pictures.prompts) for n, drawn in pictures.images.items()}
    shares = _attention(photos, missing)
    arms = {
        name: _arm(name, pictures, people[name], text=texts.get(name), shares=shares)
        for name in pictures.images
    }  # fmt: skip
    if shares and all(arm.human_map_share is None for arm in arms.values()):
        missing["human_map_share"] = "no model has HcP layers"
    missing |= _undefined(arms)
    return EvaluationReport(
        arms=arms,
        comparisons={
            other: _compare_pair(other, pictures, people, texts=texts, shares=shares, config=config)
            for other in (BASE, CHAMPION)
            if other in arms
        },
        attention_chance=float(np.mean(shares["chance"])) if "chance" in shares else None,
        n_photos=len(shares.get("chance", ())),
        not_measured=missing,
        config=config,
        scores=_scores(people, texts),
        photo_scores={"attention_share": _shares_by_arm(pictures, shares)} if shares else {},
    )


_UNDEFINED = {
    "pixel_difference": "every prompt has human words",
    "count_error": "no prompt says how many people it asks for",
    "keypoint_confidence": "nobody was found in the pictures",
    "implausible_limb_rate": "no limb with its whole torso was seen in the pictures",
}
"""Why a measure of pictures may have no number."""


def _undefined(arms: Mapping[str, ArmReport]) -> dict[str, str]:
    lacking = {n: [arm for arm in arms if getattr(arms[arm], n) is None] for n in _UNDEFINED}
    return {
        name: why if len(lacking[name]) == len(arms) else f"{why} of {', '.join(lacking[name])}"
        for name, why in _UNDEFINED.items()
        if lacking[name]
    }


def _scores(
    people: Mapping[str, Sequence[PeopleMeasures | None]], texts: Mapping[str, Sequence[float]]
) -> Scores:
    scores = {
        name: tuple(None if m is None else m.people_score for m in measures)
        for name, measures in people.items()
    }
    found = {"people_score": scores}
    return found | ({"text_score": {n: tuple(own) for n, own in texts.items()}} if texts else {})


def _shares_by_arm(
    pictures: Pictures, shares: Mapping[str, Sequence[float]]
) -> dict[str, tuple[float, ...]]:
    return {name: tuple(shares[name]) for name in pictures.images if name in shares}


def pixel_difference(ours: Image8, theirs: Image8) -> float:
    """Mean absolute difference of two pictures of one size, in levels of 255."""
    return float(np.abs(ours.astype(np.int16) - theirs.astype(np.int16)).mean())


def people_measures(
    pictures: Pictures, poses: PoseBook | None = None
) -> dict[str, list[PeopleMeasures | None]]:
    """Per arm and picture; None for prompts without human words."""
    expected = [expected_people(p) for p in pictures.prompts]
    return {
        name: [
            None
            if n == 0
            else measure_people(
                found,
                n_expected=n,
                opinions=opinions_of(found, prompt, soundness=sound, poses=poses),
            )
            for n, prompt, found, sound in zip(
                expected, pictures.prompts, detections,
                pictures.soundness.get(name, [()] * len(expected)), strict=True,
            )
        ]
        for name, detections in pictures.people.items()
    }  # fmt: skip


def _arm(
    name: str,
    pictures: Pictures,
    measures: Sequence[PeopleMeasures | None],
    *,
    text: Sequence[float] | None,
    shares: Mapping[str, Sequence[float]],
) -> ArmReport:
    known = [m for m in measures if m is not None]
    differences = [
        pixel_difference(ours, base)
        for ours, base, m in zip(
            pictures.images[name], pictures.images[BASE], measures, strict=True
        )
        if m is None
    ]
    return ArmReport(
        people_score=float(np.mean([m.people_score for m in known])),
        detection_rate=float(np.mean([m.detected for m in known])),
        count_error=mean_of_known([m.count_error for m in known]),
        keypoint_confidence=mean_of_known([m.keypoint_confidence for m in known]),
        implausible_limb_rate=mean_of_known([m.implausible_limbs for m in known]),
        n_person_pictures=len(known),
        pixel_difference=mean_of_known(differences),
        identical_share=mean_of_known([float(d == 0) for d in differences]),
        text_score=None if text is None else float(np.mean(text)),
        attention_share=mean_of_known(shares.get(name, ())),
        human_map_share=mean_of_known(shares.get(f"{name}.human", ())),
        fid=None,
        kid=None,
    )


def _compare_pair(
    other: str,
    pictures: Pictures,
    people: Mapping[str, Sequence[PeopleMeasures | None]],
    *,
    texts: Mapping[str, Sequence[float]],
    shares: Mapping[str, Sequence[float]],
    config: EvaluationConfig,
) -> Comparison:
    groups = config.numbers_of(pictures.prompts)
    scores = {
        name: [m.people_score for m in people[name] if m is not None] for name in (CANDIDATE, other)
    }
    human = [g for g, m in zip(groups, people[CANDIDATE], strict=True) if m is not None]

    def interval(values: Mapping[str, Sequence[float]], units: Sequence[int]) -> Interval | None:
        if not units or CANDIDATE not in values or other not in values:
            return None
        return paired_interval(
            values[CANDIDATE], values[other], groups=units,
            level=config.level, n_resamples=config.n_resamples,
        )  # fmt: skip

    people_interval = interval(scores, human)
    assert people_interval is not None  # the config has a prompt with human words
    return Comparison(
        people_score=people_interval,
        text_score=interval(texts, groups),
        attention_share=interval(shares, range(len(shares.get("chance", ())))),
    )


def _attention(
    photos: Mapping[str, Sequence[PhotoMaps]], missing: dict[str, str]
) -> dict[str, Sequence[float]]:
    found: dict[str, Sequence[float]] = {}
    for name, maps in photos.items():
        share = attention_share(maps)
        found |= {name: share.fused, f"{name}.human": share.human}
        found |= {BASE: share.base, "chance": share.chance}
    if not found.get("chance"):
        missing["attention_share"] = "no held-out photo with human words and person masks"
        return {}
    return found
