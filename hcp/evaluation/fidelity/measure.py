"""FID, KID and CMMD of pictures and of their faces, and how sure the detector is of faces.

Pictures of prompts with human words are held against photos of the dataset, whose people are
found by the same detector.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.comparison import Pictures
from hcp.evaluation.fidelity import cards
from hcp.evaluation.fidelity.distances import cmmd, fid
from hcp.evaluation.fidelity.faces import Faces, face_confidence, face_crops
from hcp.evaluation.fidelity.kid_interval import KidSums, kid_interval
from hcp.evaluation.fidelity.photos import ReferencePhotos, reference_photos
from hcp.evaluation.fidelity.space import FeatureSpace, Image8
from hcp.evaluation.interval import mean_of_known
from hcp.evaluation.measures import Measure, not_measured, with_figures, with_pictures_measured
from hcp.evaluation.results import BASE, CANDIDATE, CHAMPION, EvaluationReport, MeasureCard
from hcp.tokens import human_spans
from storage.records import Person
from storage.versions import DatasetVersion

MIN_PICTURES = 16
"""Fewer pictures, photos or faces give distances between distributions that mean nothing."""

Detector = Callable[[Sequence[Image8]], list[list[Person]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Features of one model's pictures, or of what was cut from them, [N, D]."""

    features: NDArray[np.float32]
    prompts: tuple[int, ...]  # of each row: the number of its prompt


def fidelity(
    space: FeatureSpace | str, version: DatasetVersion | None, detector: Detector
) -> Measure:
    """The measure of an evaluation.

    Args:
        space: the feature network, or why there is none.
        version: whose photos the pictures are held against; None: there is no dataset.
        detector: the judge, for the people of these photos.
    """

    def measure(report: EvaluationReport, pictures: Pictures) -> EvaluationReport:
        photos = _photos(version, report, pictures)
        found = detector(photos.images) if isinstance(photos, ReferencePhotos) else []
        report = with_face_confidence(report, pictures, found)
        human = [i for i, prompt in enumerate(pictures.prompts) if human_spans(prompt)]
        why = _why_not(space, photos, len(human))
        if why or isinstance(space, str) or isinstance(photos, str):
            unknown = (cards.kid(), cards.kid_change(), cards.fid(), cards.cmmd(), cards.faces())
            return _without(report, unknown, why)
        report = with_distances(report, pictures, photos, space, human)
        return with_face_distances(report, pictures, photos, space, found)

    return measure


def with_distances(
    report: EvaluationReport,
    pictures: Pictures,
    photos: ReferencePhotos,
    space: FeatureSpace,
    human: Sequence[int],
) -> EvaluationReport:
    """The report with the distances of whole pictures, those of number ``human``."""
    real = space.embed(photos.images)
    numbers = report.config.numbers_of(pictures.prompts)
    drawn = {
        arm: Drawn(
            features=space.embed([images[i] for i in human]),
            prompts=tuple(numbers[i] for i in human),
        )
        for arm, images in pictures.images.items()
    }
    height, width = photos.images[0].shape[:2]
    said = (
        f"FID, KID and CMMD: {len(human)} pictures of each model for prompts with human words, "
        f"against {photos}, their middle cut out and resized to {width} x {height} px; features: "
        f"{space.name}."
    )
    report = replace(report, notes=(*report.notes, said))
    report = _with_kid(report, drawn, real, cards.kid(space), cards.kid_change())
    for card, distance in ((cards.fid(space), fid), (cards.cmmd(space), cmmd)):
        figures = {arm: distance(each.features, real) for arm, each in drawn.items()}
        report = with_figures(report, card, figures)
    arms = {
        name: replace(arm, fid=arm.more["fid"], kid=arm.more["kid"])
        for name, arm in report.arms.items()
    }
    return replace(report, arms=arms)


def with_face_distances(
    report: EvaluationReport,
    pictures: Pictures,
    photos: ReferencePhotos,
    space: FeatureSpace,
    people: Sequence[Sequence[Person]],
) -> EvaluationReport:
    """The report with the KID of face crops; ``people``: those of the photos.

    As for whole pictures, only prompts with human words count.
    """
    smallest = report.config.min_face_px
    real = face_crops(photos.images, people, min_side_px=smallest)
    faces = {
        arm: face_crops(images, _asked(pictures, arm), min_side_px=smallest)
        for arm, images in pictures.images.items()
    }
    counts = {"the photos": real, **faces}
    few = [f"{len(each.crops)} of {arm}" for arm, each in counts.items() if _too_few(each)]
    if _too_few(real) or len(few) > len(faces):
        why = f"{', '.join(few)} faces of {smallest} px or more, {MIN_PICTURES} are needed"
        return _without(report, (cards.faces(),), why)
    numbers = report.config.numbers_of(pictures.prompts)
    drawn = {
        arm: Drawn(features=space.embed(each.crops), prompts=tuple(numbers[i] for i in each.places))
        for arm, each in faces.items()
        if not _too_few(each)
    }
    said = "; ".join(
        f"{arm} {len(each.crops)} (and {each.n_small} smaller)" for arm, each in counts.items()
    )
    report = replace(
        report, notes=(*report.notes, f"Faces of {smallest} px or more that were compared: {said}.")
    )
    report = _with_kid(report, drawn, space.embed(real.crops), cards.faces(space))
    if few:
        why = f"{', '.join(few)}: {MIN_PICTURES} faces are needed"
        report = not_measured(report, **{cards.faces().name: why})
    return report


def with_face_confidence(
    report: EvaluationReport, pictures: Pictures, photos: Sequence[Sequence[Person]]
) -> EvaluationReport:
    """The report with the detector's confidence in faces; ``photos``: the people of each photo."""
    smallest = report.config.min_face_px
    values = {
        arm: [
            face_confidence(found, min_side_px=smallest) if human_spans(prompt) else None
            for found, prompt in zip(people, pictures.prompts, strict=True)
        ]
        for arm, people in pictures.people.items()
    }
    real = mean_of_known([face_confidence(found, min_side_px=smallest) for found in photos])
    why = f"no person in the base's pictures, or only faces below {smallest} px"
    return with_pictures_measured(report, pictures, cards.face_confidence(real), values, why=why)


def _with_kid(
    report: EvaluationReport,
    drawn: Mapping[str, Drawn],
    photos: NDArray[np.float32],
    card: MeasureCard,
    change: MeasureCard | None = None,
) -> EvaluationReport:
    config = report.config
    sums = {
        arm: KidSums.of(
            each.features, photos, groups=each.prompts, n_groups=len(config.prompts)
        )
        for arm, each in drawn.items()
    }  # fmt: skip
    figures = {arm: float(each.kid()[0]) for arm, each in sums.items()}
    intervals = {
        other: kid_interval(
            sums[CANDIDATE], sums[other], level=config.level, n_resamples=config.n_resamples
        )
        for other in (BASE, CHAMPION)
        if {CANDIDATE, other} <= set(sums)
    }
    differences = {other: each.difference for other, each in intervals.items()}
    report = with_figures(report, card, figures, differences)
    if change is None:
        return report
    relative = {o: each.relative for o, each in intervals.items() if each.relative is not None}
    if BASE not in relative:
        return _without(report, (change,), "the base's KID is not clearly above 0")
    changes = {arm: kid / figures[BASE] - 1 for arm, kid in figures.items() if arm != BASE}
    return with_figures(report, change, changes, relative)


def _without(report: EvaluationReport, named: Sequence[MeasureCard], why: str) -> EvaluationReport:
    # The cards go into the report too: they give the rows of the reasons their titles.
    report = replace(report, cards=(*report.cards, *named))
    return not_measured(report, **{card.name: why for card in named})


def _photos(
    version: DatasetVersion | None, report: EvaluationReport, pictures: Pictures
) -> ReferencePhotos | str:
    if version is None:
        return "no dataset is given whose photos to compare with (evaluate.dataset)"
    height, width = pictures.images[BASE][0].shape[:2]
    return reference_photos(
        version, limit=report.config.max_references, height_px=height, width_px=width
    )


def _why_not(space: FeatureSpace | str, photos: ReferencePhotos | str, n_drawn: int) -> str:
    for given in (space, photos):
        if isinstance(given, str):
            return given
    n_photos = len(photos.images) if isinstance(photos, ReferencePhotos) else 0
    if min(n_photos, n_drawn) < MIN_PICTURES:
        return f"{n_photos} photos and {n_drawn} pictures, {MIN_PICTURES} of each are needed"
    return ""


def _too_few(faces: Faces) -> bool:
    return len(faces.crops) < MIN_PICTURES


def _asked(pictures: Pictures, arm: str) -> list[Sequence[Person]]:
    # nobody where the prompt has no human words
    return [
        found if human_spans(prompt) else ()
        for found, prompt in zip(pictures.people[arm], pictures.prompts, strict=True)
    ]
