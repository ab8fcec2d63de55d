"""Sentences say what is in the picture, in good English."""

from dataclasses import replace

import numpy as np
import pytest

from demo.world import captions
from demo.world.backgrounds import PLACES
from demo.world.looks import Look, random_look
from demo.world.poses import POSES
from demo.world.things import THINGS

PARK = PLACES["park"]
STANDING = next(pose for pose in POSES if pose.name == "standing")


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _look(**changes: object) -> Look:
    look = random_look(_rng(), pose=STANDING, kind="man")
    return replace(look, top="orange", bottom="trousers", **changes)  # pyright: ignore[reportArgumentType] - each test names a Look's fields


@pytest.mark.parametrize(("words", "expected"), [("orange ball", "an"), ("red ball", "a")])
def test_articles(words: str, expected: str) -> None:
    assert captions.article(words) == f"{expected} {words}"


def test_one_person_is_named_with_what_they_do_and_where() -> None:
    for seed in range(60):
        caption = captions.people([_look()], STANDING, PARK, _rng(seed))
        assert "a man" in caption
        assert any(action in caption for action in STANDING.actions)
        assert any(phrase in caption for phrase in PARK.phrases)
        assert " a orange" not in caption


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("man", "man"), {"two men in orange shirts"}),
        (("boy", "boy", "boy"), {"three boys in orange shirts"}),
        (("man", "woman", "girl"), {"three people", "a group of people"}),
    ],
)
def test_several_people_are_counted(kinds: tuple[str, ...], expected: set[str]) -> None:
    looks = [_look(kind=kind) for kind in kinds]
    found = {captions.people(looks, STANDING, PARK, _rng(seed)) for seed in range(40)}
    assert {text.partition(" standing")[0] for text in found} == expected


def test_two_kinds_are_named_each() -> None:
    looks = [_look(kind="man"), _look(kind="woman")]
    caption = captions.people(looks, STANDING, PARK, _rng())
    assert caption.startswith("a man")
    assert " and a woman" in caption


def test_an_empty_scene_says_so() -> None:
    found = {captions.no_people([], PARK, _rng(seed)) for seed in range(20)}
    assert found == {"an empty park", "a picture of an empty park"}


def test_things_are_named_with_their_colours() -> None:
    both = [(THINGS["car"], "red"), (THINGS["tree"], "")]
    caption = captions.no_people(both, PARK, _rng())
    assert caption.startswith("a red car ")
    assert " a tree " in caption
