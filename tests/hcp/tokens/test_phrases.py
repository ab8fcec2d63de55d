"""Noun phrases: what they stand for, alone and in relation to those before them."""

import pytest

from hcp.tokens import lexicon as lx
from hcp.tokens.phrases import ANIMATE, DEPICTED, HUMAN, THING, WORN, Phrase, Phrases


def parsed(*phrases: tuple[str, str]) -> Phrases:
    """Phrases (role, words) in reading order, the last word of each its head."""
    texts = [(role, "of " * (role == "of") + text) for role, text in phrases]
    words = [word for _, text in texts for word in text.split()]
    flags = [lx.readings(word) for word in words]
    found = Phrases(words, flags, any(f & lx.ANIMAL for f in flags))
    start = 0
    for role, text in texts:
        end = start + len(text.split())
        head = end - 1
        found.add(Phrase(start + (role == "of"), head, end, flags=flags[head], role=role), -1)
        start = end
    return found


def human_words(phrases: Phrases) -> dict[str, str]:
    return {phrases.words[i]: kind for i, kind in phrases.kinds.items()}


@pytest.mark.parametrize(
    ("text", "stands_for"),
    [
        ("the young woman", HUMAN),
        ("a dog", ANIMATE),
        ("a toy soldier", ANIMATE),
        ("a shirt", WORN),
        ("a stone", THING),
    ],
)
def test_what_one_phrase_stands_for(text: str, stands_for: int) -> None:
    found = parsed(("subject", text))
    assert found.met[0].stands_for == stands_for
    assert bool(found.kinds) == (text == "the young woman")


def test_the_thing_that_depicts_takes_the_person_away() -> None:
    found = parsed(("subject", "a statue"), ("of", "a man"), ("conj", "a woman"))
    assert human_words(found) == {}
    assert [p.stands_for for p in found.met] == [DEPICTED] * 3
    assert human_words(parsed(("subject", "a group"), ("of", "women"))) == {
        "group": "person", "women": "person"
    }  # fmt: skip
    assert human_words(parsed(("subject", "a family"), ("of", "bears"))) == {}


def test_of_belongs_to_the_phrase_right_before_it() -> None:
    apart = parsed(("subject", "a couple"), ("outside", "outside"), ("of", "a restaurant"))
    assert human_words(apart) == {"couple": "person"}


def test_a_body_part_is_its_owners() -> None:
    assert human_words(parsed(("subject", "a man's hand"))) == {"man's": "person", "hand": "body"}
    assert human_words(parsed(("subject", "a clock face"))) == {}
    assert human_words(parsed(("subject", "a cat"), ("with", "long hair"))) == {}
    assert human_words(parsed(("subject", "a girl"), ("with", "long hair"))) == {
        "girl": "person", "hair": "body"
    }  # fmt: skip


def test_pronouns_stand_for_the_last_that_lives() -> None:
    assert parsed(("subject", "a dog"), ("subject", "he")).met[1].stands_for == ANIMATE
    assert parsed(("subject", "a man"), ("subject", "he")).met[1].stands_for == HUMAN
    assert parsed(("subject", "he")).met[0].stands_for == HUMAN
    assert parsed(("subject", "a stone")).last_animate() is None
