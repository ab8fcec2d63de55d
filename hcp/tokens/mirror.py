"""What a caption says of the mirrored photo: left and right change places, or no flip is honest.

Words and rules alone, made for captions in English. "left" and "right" are told apart from their
other meanings by the words beside them ("left the room", "right behind"). Where those do not tell,
there is no answer: a photo less is flipped, which costs little, and no caption lies.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Literal

from hcp.tokens.lexicon import BODY, entries, readings

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")
_SIDED = re.compile(r"left|right", re.IGNORECASE)
_PARTNERS = {"left": "right", "right": "left"}
_ENDINGS = "|y|ies|most|ward|wards|hand|handed|hander|handers|handedly|side|footed|footer"
_SIDE_WORD = re.compile(rf"(left|right)({_ENDINGS})", re.IGNORECASE)
_QUOTED = re.compile(
    r'"[^"]+"|“[^”]+”|„[^“”]+[“”]|«[^»]+»|「[^」]+」|``.+?\'\''
    "|(?<!\\w)'[^']{2,}'(?!\\w)|(?<!\\w)\u2018[^\u2019]{2,}\u2019(?!\\w)"
)
_NUMBERED = re.compile(
    r"\bnumber(?:ed)?\s+\d|\bnumbers\b(?!\s+of\b)|#\s*\d|\bno\.\s*\d", re.IGNORECASE
)
_READS = re.compile(r"\b[Rr]ead(?:s|ing)?\b\s*[:,]?\s*(?:[A-Z]|\d)")
_INITIALS = re.compile(r"\b[lr]\s*(?:to|and|-|/|&)\s*[lr]\b|\([lr]\)", re.IGNORECASE)
_PAIR = r"(?:left|right) (?:and|or|to|/|&|-|,) (?:from )?(?:the |a )?(?:left|right)"
_PAIR_AFTER, _PAIR_BEFORE = re.compile(_PAIR), re.compile(rf".*\b{_PAIR}$")

Meaning = Literal["side", "other", "unclear"]


def mirrored_caption(caption: str) -> str | None:
    """The caption of the photo flipped left to right, with left and right swapped.

    Returns:
        The caption; None where a flip would make it false (it names writing, quotes, numbers, or a
        turn that has a direction), or where it is unclear whether a "left" or "right" is a side.
    """
    if _QUOTED.search(caption) or _NUMBERED.search(caption) or _READS.search(caption):
        return None
    if _INITIALS.search(caption):
        return None
    straight = caption.replace("\u2019", "'")  # one character for another: positions stay
    matches = list(_TOKEN.finditer(straight))
    words = [match.group().lower() for match in matches]
    if not _words("false").isdisjoint(words):
        return None
    if not _SIDED.search(caption):
        return caption
    pieces: list[str] = []
    end = 0
    for i, match in enumerate(matches):
        side = match.group().removesuffix("'s")
        swapped = _swapped(side)
        if swapped is None:
            continue
        meaning = _meaning(words, i) if words[i] in ("left", "right") else "side"
        if meaning == "unclear":
            return None
        if meaning == "side":
            pieces += [caption[end : match.start()], swapped]
            end = match.start() + len(side)
    return "".join([*pieces, caption[end:]])


def _swapped(word: str) -> str | None:
    """The word for the other side in the same case; None where it names no side."""
    found = _SIDE_WORD.fullmatch(word)
    if found is None:
        return None
    other = _PARTNERS[found.group(1).lower()] + found.group(2).lower()
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other


def _meaning(words: list[str], i: int) -> Meaning:
    """What "left" or "right" at a place of the caption's words and signs stands for."""
    word = words[i]
    before, after = _beside(words, i, -1), _beside(words, i, +1)
    if _pair(words, i):
        return "side"
    if word == "right" and (after in _words("correct") or _upright(words, i)):
        return "other"
    if after in _words("after") or (after and readings(after) & BODY):
        return "side"
    if after == "of" and words[i + 1 : i + 3] == ["of", "way"]:
        return "other"
    if after == "of":
        return "side" if word == "right" or before in _words("before") else _left_of(words, i)
    if word == "right" and after == "to" and before != "on":
        return "unclear"  # "their right to vote", "to the right to see"
    if before in _words("before") or before.endswith("'s") or before == "(":
        return "side"
    if before in _words("turns") and after not in _words("just"):
        return "side"
    if after == ":" or (before, after) == ("", ","):
        return "side"
    return _elsewhere(word, before, after)


def _elsewhere(word: str, before: str, after: str) -> Meaning:
    """For a word that nothing makes a side: whether something makes it none."""
    if word == "left":
        left = before in _words("left_by") or after in _words("leaves")
        return "other" if left or before in ("is", "are") else "unclear"
    if before in ("all", "just", "quite"):
        return "other"
    return "other" if after in _words("just") and before not in _words("turns") else "unclear"


def _left_of(words: list[str], i: int) -> Meaning:
    # "is left of the tree" is a side, "all that is left of it" is not.
    rest = {"all", "what", "nothing", "little", "much", "some", "none", "remains"}
    return "unclear" if rest & set(words[max(0, i - 4) : i]) else "side"


def _upright(words: list[str], i: int) -> bool:
    return words[i + 1 : i + 3] in (["side", "up"], ["-", "side"]) and "up" in words[i + 2 : i + 5]


def _pair(words: list[str], i: int) -> bool:
    """Whether the other side is named beside it: "left and right", "from left to the right"."""
    after = _PAIR_AFTER.match(" ".join(words[i : i + 5]))
    return bool(after or _PAIR_BEFORE.match(" ".join(words[max(0, i - 4) : i + 1])))


def _beside(words: list[str], i: int, step: int) -> str:
    """The neighbour; a hyphen or stroke between two words is looked across."""
    place = i + step
    if 0 <= place + step < len(words) and words[place] in "-/":
        place += step
    return words[place] if 0 <= place < len(words) else ""


def _words(section: str) -> frozenset[str]:
    return _sections()[section]


@cache
def _sections() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for section, word in entries("mirror"):
        found.setdefault(section, set()).add(word)
    return {section: frozenset(words) for section, words in found.items()}
