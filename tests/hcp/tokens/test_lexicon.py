"""The word lists and the rules for words that no list holds."""

from pathlib import Path

import pytest

from hcp.tokens import lexicon as lx

DATA = Path(lx.__file__).parent / "wordlists"


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("run", "run runs running runned"),
        ("ride", "ride rides riding rided"),
        ("lie", "lie lies lying lied"),
        ("carry", "carry carries carrying carried"),
        ("play", "play plays playing played"),
        ("ski", "ski skis skiing skied"),
        ("catch", "catch catches catching catched"),
        ("open", "open opens opening opened"),
        ("fix", "fix fixes fixing fixed"),
        ("go", "go goes going goed"),
    ],
)
def test_regular_inflections(verb: str, forms: str) -> None:
    base, third, ing, past = forms.split()
    assert lx.inflections(verb) == {
        base: lx.VERB_BASE,
        third: lx.VERB_S,
        ing: lx.ING,
        past: lx.VERB_PAST,
    }


@pytest.mark.parametrize("word", ["rode", "ridden", "sat", "worn", "threw"])
def test_irregular_past_forms_are_known(word: str) -> None:
    assert lx.readings(word) & lx.VERB_PAST


@pytest.mark.parametrize(
    "word",
    ["women", "ladies", "children", "surfers", "guitarist", "firewoman", "skateboarders",
     "cowboys", "sweeper", "dog-walkers", "2girls", "ex-husband"],
)  # fmt: skip
def test_words_for_people(word: str) -> None:
    assert lx.readings(word) & lx.PERSON


@pytest.mark.parametrize(
    "word",
    ["snowman", "toaster", "computer", "counters", "waist", "flower", "roman", "controllers",
     "boxer-shorts", "2nd", "mannequin", "zebra", "lists"],
)  # fmt: skip
def test_words_that_only_look_like_people(word: str) -> None:
    assert not lx.readings(word) & lx.PERSON


def test_genitives_keep_the_noun_and_lose_the_verb() -> None:
    assert lx.readings("man's") & lx.PERSON
    assert lx.readings("man's") & lx.GENITIVE
    assert lx.readings("cook's") & lx.FINITE == 0


@pytest.mark.parametrize(("word", "reading"), [
    ("frobbing", lx.ING), ("frobbed", lx.VERB_PAST), ("frobly", lx.ADVERB), ("12", lx.DET),
    (",", lx.PUNCT), ("frob", 0),
])  # fmt: skip
def test_unknown_words_are_read_by_their_endings(word: str, reading: int) -> None:
    assert lx.readings(word) == reading


@pytest.mark.parametrize("path", sorted(DATA.glob("*.txt")), ids=lambda path: path.stem)
def test_lists_hold_lower_case_words_once_a_section(path: Path) -> None:
    seen: set[tuple[str, str]] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        section, _, words = line.rpartition(": ")
        for word in words.split():
            assert word == word.lower()
            assert (section, word) not in seen, f"{word} stands twice in {section or path.stem}"
            seen.add((section, word))
    assert seen
