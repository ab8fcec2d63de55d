"""The choices between verb and noun that need no parse state."""

import pytest

from hcp.tokens import lexicon as lx
from hcp.tokens.verbs import (
    Noun,
    continues_verb,
    is_light,
    is_sport,
    is_verb_after,
    lists_people,
    takes_gerund,
)


@pytest.mark.parametrize(
    ("text", "role", "expected"),
    [
        ("people walk", "subject", True),
        ("man rides", "subject", True),
        ("man ride a horse", "subject", True),
        ("cross walk", "object", False),
        ("surf boards", "on", False),
        ("hand held", "object", False),
        ("man made rocks", "with", False),
        ("passenger train", "subject", False),
        ("players close behind", "subject", False),
        ("men close the door", "subject", True),
        ("picnic set", "with", False),
        ("bus stop", "at", False),
    ],
)
def test_verb_after_noun(text: str, role: str, expected: bool) -> None:
    words = text.split()
    flags = [lx.readings(word) for word in words]
    noun = Noun(start=0, head=0, role=role, helped=False)
    assert is_verb_after(noun, 1, words, flags) is expected


@pytest.mark.parametrize(
    ("text", "opens"),
    [
        ("snow boarding", [True, False]),
        ("cross country skiing", [True, True, False]),
        ("cross country skis", [False, False, False]),
        ("country road", [False, False]),
    ],
)
def test_sports_written_apart(text: str, opens: list[bool]) -> None:
    words = text.split()
    assert [is_sport(words, i) for i in range(len(words))] == opens
    assert not is_sport(words, -1)


def test_object_of_a_helping_verb_takes_a_base_form() -> None:
    words = ["man", "walk"]
    flags = [lx.readings(word) for word in words]
    found = [
        is_verb_after(Noun(0, 0, "object", helped), 1, words, flags) for helped in (True, False)
    ]
    assert found == [True, False]


@pytest.mark.parametrize(
    ("verb", "following", "expected"),
    [
        ("tries", "to", True),
        ("getting", "ready", True),
        ("getting", "off", False),
        ("preparing", "to", True),
        ("preparing", "food", False),
        ("riding", "a", False),
    ],
)
def test_light_verbs(verb: str, following: str, expected: bool) -> None:
    assert is_light(lx.readings(verb), following) is expected


def test_gerunds_and_counted_people() -> None:
    assert takes_gerund("by", "pizza")
    assert takes_gerund("of", "act")
    assert not takes_gerund("of", "pair")
    assert lists_people("both", "subject")
    assert lists_people("two", "conj")
    assert not lists_people("two", "with")


@pytest.mark.parametrize(
    ("last", "word", "following", "expected"),
    [
        ("sits", "watches", "a", True),
        ("sit", "eat", "pizza", True),
        ("sitting", "boards", ".", False),
        ("holding", "seated", ".", False),
        ("holding", "drinks", ".", False),
    ],
)
def test_words_after_and(last: str, word: str, following: str, expected: bool) -> None:
    found = continues_verb(
        lx.readings(word),
        lx.readings(last),
        following=lx.readings(following),
        human=True,
    )
    assert found is expected
