"""How many people a caption asks for."""

import re
from collections.abc import Sequence

from storage.records import Span

NUMBER_WORDS = {
    word: n
    for n, words in {
        1: "a an one single lone another this that",
        2: "two both pair couple duo",
        3: "three trio",
        4: "four quartet",
        5: "five",
        6: "six",
        7: "seven",
        8: "eight",
    }.items()
    for word in words.split()
}
GROUP_NOUNS = {"couple": 2, "pair": 2, "duo": 2, "twins": 2, "trio": 3, "quartet": 4}
COLLECTIVE_NOUNS = {"group", "crowd", "team", "family", "band", "audience", "class", "gang", "crew"}
IRREGULAR_PLURALS = {"people", "men", "women", "children", "persons", "kids"}
_WORD = re.compile(r"[a-z]+|\d+|[,.;:]", re.IGNORECASE)


def expected_people(prompt: str, spans: Sequence[Span]) -> int | None:
    """How many people the prompt asks for: 0 without human words, None where it does not say.

    Each person word counts the number word before it ("two young dancers"), 1 if it is singular.
    "people", "a group of women" or a prompt with an action and no person word: None.
    """
    if not spans:
        return 0
    persons = [span for span in spans if span.kind == "person"]
    counts = [_count_of(prompt, span, previous) for span, previous in _with_previous(persons)]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _with_previous(spans: Sequence[Span]) -> list[tuple[Span, int]]:
    ends = [0, *(span.end for span in spans)]
    return list(zip(spans, ends, strict=False))


def _count_of(prompt: str, span: Span, start: int) -> int | None:
    noun = span.text.lower().split()[-1]
    if noun in GROUP_NOUNS:
        return GROUP_NOUNS[noun]
    before = [word.lower() for word in _WORD.findall(prompt[start : span.start])]
    if before[-1:] == ["of"]:
        # "a couple of dancers" counts the couple; "a group of three men" the men; a person word
        # before the "of" ("team of players") was the previous span and has said what is known.
        return GROUP_NOUNS.get(before[-2]) if len(before) > 1 else 0
    number = _last_number(before)
    if noun in COLLECTIVE_NOUNS:
        return None
    if noun in IRREGULAR_PLURALS or (noun.endswith("s") and not noun.endswith("ss")):
        return number if number is not None and number > 1 else None
    return number if number is not None else 1


def _last_number(words: Sequence[str]) -> int | None:
    for word in reversed(words):
        if word in {",", ".", ";", ":", "and", "with", "near", "by", "for", "of", "in", "on", "at"}:
            return None
        if word.isdigit():
            return int(word)
        if word in NUMBER_WORDS:
            return NUMBER_WORDS[word]
    return None
