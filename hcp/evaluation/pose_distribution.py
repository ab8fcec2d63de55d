"""Poses of all drawn people against those of the dataset's people, and what each action brings.

Ours (DESIGN 7), but the distance: Frechet's between two Gaussians (Dowson and Landau 1982), as FID
takes it of features (Heusel et al. 2017).

Dimension legend: N people, D coordinates of a normalised pose.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.comparison import Pictures
from hcp.evaluation.measures import Measure, not_measured, with_figures
from hcp.evaluation.people import MIN_CONFIDENCE, counted_people
from hcp.evaluation.poses import PoseBook, actions_of, does_as_asked
from hcp.evaluation.results import EvaluationReport, MeasureCard
from hcp.tokens.counting import expected_people
from storage.records import Person

BODY = tuple(range(5, 17))
"""Shoulders to ankles: the head's points say little of a pose."""
MIN_PEOPLE = 2 * 2 * len(BODY)
"""Fewer give a covariance of D = 24 coordinates that means nothing."""
MIN_PICTURES = 3
"""An action asked for in fewer pictures has no row."""


def frechet_distance(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Squared Frechet distance of the Gaussians with the means and covariances of two sets.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), covariances with N - 1.

    Args:
        ours: [N, D]; theirs: [M, D], N and M at least 2.
    Returns:
        A number >= 0.
    """
    first, second = np.cov(ours, rowvar=False), np.cov(theirs, rowvar=False)
    gap = ours.mean(axis=0) - theirs.mean(axis=0)
    # C1 C2 has the eigenvalues of the symmetric S C2 S, S the root of C1: none is below 0.
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    product = np.clip(np.linalg.eigvalsh(root @ second @ root), 0.0, None)
    trace = np.trace(first) + np.trace(second) - 2 * np.sqrt(product).sum()
    return float(max(gap @ gap + trace, 0.0))


def normalised_poses(joints: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The poses of which every joint from the shoulders down is seen, about their mean, of size 1.

    Args:
        joints: [N, 17, 2], pixels; seen: [N, 17].
    Returns:
        [n, D], n <= N: what is left of place and size, turns are kept.
    """
    whole = joints[seen[:, BODY].all(axis=1)][:, BODY]
    centred = whole - whole.mean(axis=1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=(1, 2)) / len(BODY))
    return (centred / np.maximum(size, 1e-9)[:, None, None]).reshape(len(whole), -1)


def pose_measures(book: PoseBook | None) -> list[Measure]:
    """The distance between distributions of poses, and pose as asked for each action."""

    def distribution(report: EvaluationReport, pictures: Pictures) -> EvaluationReport:
        return with_pose_distribution(report, pictures, book)

    def by_action(report: EvaluationReport, pictures: Pictures) -> EvaluationReport:
        return with_actions(report, pictures, book)

    return [distribution, by_action]


def with_pose_distribution(
    report: EvaluationReport, pictures: Pictures, book: PoseBook | None
) -> EvaluationReport:
    """The report with ``pose_frechet`` of each model that drew enough whole people."""
    if book is None or not book.actions:
        return not_measured(report, pose_frechet=_nobody(book))
    real = normalised_poses(book.joints, book.seen)
    if len(real) < 2 * MIN_PEOPLE:  # each stands there twice, mirrored
        why = f"too few people: {len(real) // 2} of the dataset are whole, {MIN_PEOPLE} are needed"
        return not_measured(report, pose_frechet=why)
    human = [expected_people(prompt) != 0 for prompt in pictures.prompts]
    drawn = {
        name: _poses([p for people, asked in zip(found, human, strict=True) if asked
                      for p in counted_people(people)])
        for name, found in pictures.people.items()
    }  # fmt: skip
    few = {name: len(poses) for name, poses in drawn.items() if len(poses) < MIN_PEOPLE}
    if few:
        counts = ", ".join(f"{n} of {name}" for name, n in few.items())
        why = f"too few people: {counts} are drawn whole, {MIN_PEOPLE} are needed"
        report = not_measured(report, pose_frechet=why)
    card = MeasureCard(
        name="pose_frechet", title="Distance of pose distributions", better="lower",
        note=f"Frechet, whole people against {len(real) // 2} of the dataset",
    )  # fmt: skip
    figures = {
        name: frechet_distance(np.concatenate([poses, _mirrored(poses)]), real)
        for name, poses in drawn.items()
        if name not in few
    }
    return with_figures(report, card, figures) if figures else report


def _nobody(book: PoseBook | None) -> str:
    if book is None:
        return "no dataset of people is given"
    return "no caption of the dataset's people who pass the gate names an action"


def _poses(people: Sequence[Person]) -> NDArray[np.float64]:
    points = np.array([p.keypoints for p in people], dtype=np.float64).reshape(-1, 17, 3)
    return normalised_poses(points[..., :2], points[..., 2] >= MIN_CONFIDENCE)


def _mirrored(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    # As the book has them: left is drawn as often as right.
    swapped = [BODY.index(5 + (joint - 5 ^ 1)) for joint in BODY]
    return (poses.reshape(-1, len(BODY), 2)[:, swapped] * (-1.0, 1.0)).reshape(len(poses), -1)


def with_actions(
    report: EvaluationReport, pictures: Pictures, book: PoseBook | None
) -> EvaluationReport:
    """The report with pose as asked of each action that enough pictures ask for."""
    if book is None or not book.actions:
        return not_measured(report, pose_by_action=_nobody(book))
    places: dict[str, list[int]] = {}
    for i, prompt in enumerate(pictures.prompts):
        for action in book.telling(actions_of(prompt)):
            places.setdefault(action, []).append(i)
    places = {a: own for a, own in places.items() if len(own) >= MIN_PICTURES}
    if not places:
        why = f"no action that the dataset's poses tell is asked for in {MIN_PICTURES} pictures"
        return not_measured(report, pose_by_action=why)
    for action, own in sorted(places.items()):
        figures = {name: _share(pictures, book, action, name, own) for name in report.arms}
        card = MeasureCard(
            name=f"pose_as_asked_{action.replace(' ', '_').replace('-', '_')}",
            title=f"… {action}", note=f"pose as asked, {len(own)} pictures", better="higher",
            percent=True,
        )  # fmt: skip
        report = with_figures(report, card, figures)
    return report


def _share(
    pictures: Pictures, book: PoseBook, action: str, name: str, places: Sequence[int]
) -> float:
    """As ``pose_as_asked`` counts: a missing person does not do it."""
    shares: list[float] = []
    for i in places:
        n = max(expected_people(pictures.prompts[i]) or 1, 1)
        people = counted_people(pictures.people[name][i])[:n]
        done = [does_as_asked(book.distances(p), frozenset({action}), book) for p in people]
        shares.append(sum(done) / n)
    return float(np.mean(shares))
