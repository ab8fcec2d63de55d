"""The shallow parse: positions of human words from words and their readings."""

import pytest

from hcp.tokens import lexicon as lx
from hcp.tokens.tagger import Tagger


def tagged(caption: str, *, animals: bool | None = None) -> dict[str, str]:
    """The human words of a caption of words and commas that stand apart."""
    words = caption.split()
    flags = [lx.readings(word) for word in words]
    if animals is None:
        animals = any(f & lx.ANIMAL for f in flags)
    return {words[i]: kind for i, kind in Tagger(words, flags, animals=animals).run().kinds.items()}


def test_positions_count_words_and_punctuation() -> None:
    words = ["a", "dog", ",", "a", "man", "runs"]
    flags = [lx.readings(word) for word in words]
    assert Tagger(words, flags, animals=True).run().kinds == {4: "person", 5: "action"}
    assert Tagger([], [], animals=False).run().kinds == {}


@pytest.mark.parametrize(
    ("caption", "actions"),
    [
        ("a man sits and eats pizza", {"sits", "eats"}),
        ("a man is riding a wave", {"riding"}),
        ("a dog runs while a man walks", {"walks"}),
        ("a man who was seen jumping", {"jumping"}),
        ("a ball thrown by a boy", {"thrown"}),
        ("a ball thrown by a machine", set()),
        ("a man to catch a ball", {"catch"}),
        ("a running man", {"running"}),
        ("a running engine", set()),
    ],
)
def test_an_action_is_what_a_person_does(caption: str, actions: set[str]) -> None:
    found = tagged(caption)
    assert {word for word, kind in found.items() if kind == "action"} == actions


def test_an_adjective_may_end_a_phrase() -> None:
    assert tagged("a woman in black jumping") == {"woman": "person", "jumping": "action"}
    assert tagged("two adults dancing")["adults"] == "person"


def test_kin_words_follow_whether_the_caption_names_animals() -> None:
    caption = "a bear with its mother"
    assert tagged(caption) == {}
    assert tagged("a boy with his mother") == {"boy": "person", "mother": "person"}


def test_a_new_sentence_has_a_subject_of_its_own() -> None:
    for caption in ("a man sits . a dog runs", "a man sits , a dog runs"):
        assert tagged(caption) == {"man": "person", "sits": "action"}
    assert tagged("a man , a dog and a cat running") == {"man": "person", "running": "action"}
