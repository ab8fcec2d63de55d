"""Distributions of poses, and pose as asked by action."""

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import _compute_fid  # pyright: ignore[reportPrivateUsage]

from hcp.evaluation.comparison import Pictures, compare
from hcp.evaluation.pose_distribution import (
    MIN_PEOPLE,
    frechet_distance,
    normalised_poses,
    with_actions,
    with_pose_distribution,
)
from hcp.evaluation.poses import NEIGHBOURS, PoseBook
from hcp.evaluation.results import EvaluationConfig, EvaluationReport
from storage.records import Person
from tests.hcp.samples import make_person

PROMPTS = ("a woman dancing", "a man jumping", "a red car")


def test_the_distance_agrees_with_another_implementation() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(90, 24)), rng.normal(0.3, 1.4, size=(200, 24))
    ours[:, 3] = ours[:, 4]  # a covariance without an inverse
    both = [(torch.from_numpy(x.mean(0)), torch.from_numpy(np.cov(x, rowvar=False)))
            for x in (ours, theirs)]  # fmt: skip
    expected = float(_compute_fid(*both[0], *both[1]))
    assert frechet_distance(ours, theirs) == pytest.approx(expected, abs=1e-6)
    assert frechet_distance(ours, ours) == pytest.approx(0.0, abs=1e-6)
    line = np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]])  # means 1, 5; deviations 2^.5, 8^.5
    assert np.isclose(16 + 2 + 8 - 2 * 4, 18)
    two = [np.concatenate([x, np.zeros_like(x)], axis=1) for x in line]
    assert frechet_distance(*two) == pytest.approx(18.0)


def test_poses_know_neither_place_nor_size_and_are_whole() -> None:
    points = np.random.default_rng(1).normal(size=(2, 17, 2))
    seen = np.ones((2, 17), dtype=bool)
    poses = normalised_poses(points, seen)
    assert poses.shape == (2, 24)
    np.testing.assert_allclose(normalised_poses(3 * points + 40, seen), poses, atol=1e-12)
    seen[0, 15] = False
    assert len(normalised_poses(points, seen)) == 1
    seen[1, 0] = False  # the head does not count
    assert len(normalised_poses(points, seen)) == 1


def person(seed: int, *, raised: bool = False) -> Person:
    """A body with its joints a little moved; with both arms over its head where ``raised``."""
    rng = np.random.default_rng(seed)
    made = make_person((20, 10, 60, 90))
    points = np.array(made.keypoints)
    points[:, :2] += rng.normal(0, 1.0, size=(17, 2))
    if raised:
        points[7:11, 1] = 2 * points[5, 1] - points[7:11, 1]
    return Person(
        bbox_xyxy_px=made.bbox_xyxy_px, score=0.9, passes_gate=True,
        keypoints=tuple((float(x), float(y), float(c)) for x, y, c in points),
    )  # fmt: skip


def drawn(base: list[Person], candidate: list[Person]) -> tuple[EvaluationReport, Pictures]:
    n = len(base)
    config = EvaluationConfig(prompts=PROMPTS, seeds=tuple(range(n)), n_resamples=20)
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    people = {"base": [[p] for p in base] * 3, "candidate": [[p] for p in candidate] * 3}
    pictures = Pictures(
        prompts=tuple(p for p in PROMPTS for _ in range(n)), seeds=config.seeds * 3,
        images={name: [image] * 3 * n for name in people}, people=people,
    )  # fmt: skip
    return compare(pictures, {}, config=config), pictures


@pytest.fixture(scope="module")
def book() -> PoseBook:
    return PoseBook.of(
        [("a woman dancing", [person(i, raised=True)]) for i in range(MIN_PEOPLE)]
        + [("a man jumping", [person(1000 + i)]) for i in range(2 * NEIGHBOURS)]
    )


def test_people_like_the_datasets_are_nearer(book: PoseBook) -> None:
    report, pictures = drawn(
        [person(2000 + i) for i in range(30)], [person(3000 + i, raised=True) for i in range(30)]
    )
    arms = with_pose_distribution(report, pictures, book).arms
    assert arms["candidate"].more["pose_frechet"] < 0.5 * arms["base"].more["pose_frechet"]


def test_too_few_people_are_said(book: PoseBook) -> None:
    report, pictures = drawn([person(0)] * 2, [person(1)] * 2)
    found = with_pose_distribution(report, pictures, book)
    assert "too few people: 4 of base, 4 of candidate" in found.not_measured["pose_frechet"]
    assert not found.cards
    small = PoseBook.of([("a woman dancing", [person(0)])] * 3)
    why = with_pose_distribution(report, pictures, small).not_measured["pose_frechet"]
    assert "3 of the dataset are whole" in why
    for nothing, said in ((None, "no dataset"), (PoseBook.of([]), "no caption")):
        assert said in with_actions(report, pictures, nothing).not_measured["pose_by_action"]
        assert (
            said in with_pose_distribution(report, pictures, nothing).not_measured["pose_frechet"]
        )


def test_each_action_has_a_row(book: PoseBook) -> None:
    report, pictures = drawn([person(5000 + i) for i in range(3)],
                             [person(6000 + i, raised=True) for i in range(3)])  # fmt: skip
    found = with_actions(report, pictures, book)
    base, ours = found.arms["base"].more, found.arms["candidate"].more
    assert (base["pose_as_asked_dancing"], ours["pose_as_asked_dancing"]) == (0.0, 1.0)
    assert (base["pose_as_asked_jumping"], ours["pose_as_asked_jumping"]) == (1.0, 0.0)
    assert "3 pictures" in found.cards[0].note
    few = drawn([person(1)] * 2, [person(2)] * 2)
    assert "in 3 pictures" in with_actions(*few, book).not_measured["pose_by_action"]
