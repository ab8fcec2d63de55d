"""Poses against those of real people: what a person does, and how far from a real body it is."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from demo.world.scenes import Scene, render_scene
from hcp.evaluation.poses import (
    MIN_JOINTS,
    NEIGHBOURS,
    PoseBook,
    actions_of,
    does_as_asked,
    pose_as_asked,
    pose_distance,
)
from storage.records import COCO_FLIP, Person
from tests.hcp.samples import make_person

JUMPING = frozenset({"jumping"})


def people_of(scene: Scene) -> list[Person]:
    """The drawn people, as an exact detector would find them."""
    return [
        Person(
            bbox_xyxy_px=drawn.bbox_xyxy_px,
            score=0.9,
            keypoints=tuple((x, y, 1.0 if visible else 0.0) for x, y, visible in drawn.keypoints),
            passes_gate=True,
        )
        for drawn in scene.people
    ]


@pytest.fixture(scope="module")
def book() -> PoseBook:
    scenes = (render_scene(seed, size_px=64) for seed in range(260))
    return PoseBook.of((scene.caption, people_of(scene)) for scene in scenes)


def held_out(pose: str, n: int) -> list[Person]:
    found: list[Person] = []
    seed = 5000
    while len(found) < n:
        scene = render_scene(seed, size_px=64, people=1)
        found += people_of(scene) if scene.attributes["pose"] == pose else []
        seed += 1
    return found


def moved(person: Person, change: Sequence[Sequence[float]], shift: float = 0.0) -> Person:
    points = np.array(person.keypoints)
    points[:, :2] = points[:, :2] @ np.array(change) + shift
    return Person(
        bbox_xyxy_px=person.bbox_xyxy_px, score=person.score, passes_gate=True,
        keypoints=tuple(tuple(map(float, row)) for row in points),
    )  # fmt: skip


def test_people_who_do_it_are_told_from_those_who_do_not(book: PoseBook) -> None:
    jumping, sitting = held_out("jumping", 6), held_out("sitting", 6)
    assert all(does_as_asked(book.distances(person), JUMPING, book) for person in jumping)
    assert not any(does_as_asked(book.distances(person), JUMPING, book) for person in sitting)


def test_a_picture_has_the_share_of_the_people_it_should_have(book: PoseBook) -> None:
    jumper, sitter = held_out("jumping", 1)[0], held_out("sitting", 1)[0]

    def share(people: list[Person], n_expected: int | None = 2) -> float | None:
        found = [book.distances(person) for person in people]
        return pose_as_asked(found, "two women jumping", n_expected=n_expected, book=book)

    assert share([jumper, jumper]) == 1.0
    assert share([jumper, sitter]) == 0.5
    assert share([jumper]) == 0.5
    assert share([]) == 0.0
    assert share([jumper, sitter], n_expected=None) == 1.0


def test_what_nobody_in_the_book_does_is_not_measured(book: PoseBook) -> None:
    person = [book.distances(each) for each in held_out("standing", 1)]
    assert pose_as_asked(person, "a man juggling in a park", n_expected=1, book=book) is None
    assert pose_as_asked(person, "a man in a park", n_expected=1, book=book) is None
    assert not PoseBook.of([]).telling(JUMPING)


def test_few_people_tell_no_action() -> None:
    standing = [("a man standing", [person]) for person in held_out("standing", 8)]
    few = [("a man jumping", [person]) for person in held_out("jumping", NEIGHBOURS - 1)]
    enough = [("a man jumping", [person]) for person in held_out("jumping", NEIGHBOURS + 2)]
    assert not PoseBook.of([*standing, *few]).telling(JUMPING)
    assert PoseBook.of([*standing, *enough]).telling(JUMPING) == JUMPING


def test_an_action_that_no_pose_shows_does_not_count(book: PoseBook) -> None:
    assert book.telling(frozenset({"wearing", "jumping"})) == JUMPING
    sitter = [book.distances(each) for each in held_out("sitting", 1)]
    prompt = "a man wearing a red shirt"
    assert pose_as_asked(sitter, prompt, n_expected=1, book=book) is None
    assert pose_as_asked(sitter, f"{prompt} jumping", n_expected=1, book=book) == 0.0


def test_size_place_and_side_make_no_difference_but_a_turn_does(book: PoseBook) -> None:
    person = held_out("waving", 1)[0]
    expected = book.distances(person)
    assert expected is not None
    larger = book.distances(moved(person, [[3, 0], [0, 3]], shift=40.0))
    assert larger == pytest.approx(expected)
    mirrored = moved(person, [[-1, 0], [0, 1]])
    points = [mirrored.keypoints[i] for i in COCO_FLIP]
    mirrored = Person(
        bbox_xyxy_px=person.bbox_xyxy_px, score=0.9, keypoints=tuple(points), passes_gate=True
    )
    other = book.distances(mirrored)
    assert other is not None
    assert other.min() == pytest.approx(expected.min())
    upside_down = book.distances(moved(person, [[-1, 0], [0, -1]]))
    assert upside_down is not None
    assert upside_down.min() > 3 * expected.min()


def test_the_distance_by_hand() -> None:
    line = [(float(i), 0.0, 1.0) for i in range(MIN_JOINTS)] + [(0.0, 0.0, 0.0)] * (17 - MIN_JOINTS)
    bent = [(x, 0.0 if i < 4 else x - 3.0, 1.0) for i, (x, _, _) in enumerate(line[:MIN_JOINTS])]
    bent += [(0.0, 0.0, 0.0)] * (17 - MIN_JOINTS)

    def person(rows: list[tuple[float, float, float]]) -> Person:
        return Person(bbox_xyxy_px=(0, 0, 1, 1), score=0.9, keypoints=tuple(rows), passes_gate=True)

    a, b = (np.array(rows)[:MIN_JOINTS, :2] for rows in (line, bent))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    r = float((a * b).sum() / math.sqrt((a**2).sum() * (b**2).sum()))
    small = PoseBook.of([("a man running", [person(line)])])
    assert pose_distance([small.distances(person(bent))]) == pytest.approx(math.sqrt(1 - r**2))
    assert pose_distance([small.distances(person(line))]) == pytest.approx(0.0, abs=1e-6)


def test_a_body_that_cannot_be_is_farther_from_every_real_one(book: PoseBook) -> None:
    real = held_out("standing", 4)
    broken: list[Person] = []
    for person in real:
        points = np.array(person.keypoints)
        points[15:17, :2] += 2.0 * (points[15:17, :2] - points[11:13, :2])  # shins thrice as long
        points[9, :2] = points[0, :2]
        rows = tuple(tuple(map(float, row)) for row in points)
        broken.append(
            Person(bbox_xyxy_px=(0, 0, 1, 1), score=0.9, keypoints=rows, passes_gate=True)
        )
    whole, apart = (pose_distance([book.distances(p) for p in each]) for each in (real, broken))
    assert whole is not None
    assert apart is not None
    assert apart > 2 * whole


def test_a_person_of_whom_too_little_is_seen_does_nothing(book: PoseBook) -> None:
    unseen = make_person(confidence=0.1)
    assert book.distances(unseen) is None
    assert not does_as_asked(book.distances(unseen), JUMPING, book)
    assert pose_distance([book.distances(unseen)]) is None
    assert pose_distance([]) is None


def test_actions_are_the_captions_own_words() -> None:
    assert actions_of("A woman Jumping and two men sitting") == {"jumping", "sitting"}
    assert actions_of("a dog running") == frozenset()
