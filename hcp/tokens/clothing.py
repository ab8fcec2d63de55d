"""Who wears what of which colour, as a caption says it: words and rules alone, for English.

"a man in a red shirt and blue trousers", "two women in yellow shirts", "a girl wearing black".
What is striped or of two colours asks for no single one, and is left out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from hcp.tokens import lexicon as lx
from hcp.tokens.counting import expected_people
from hcp.tokens.spans import human_spans

Region = Literal["torso", "legs", "thighs"]

_TOKEN = re.compile(r"[^\W_]+(?:['-][^\W_]+)*|[^\w\s]")
_JOINS = ("and", "&", ",")
_ENDS = lx.CLOSED | lx.PRONOUN | lx.PERSON | lx.GROUP
_LONGEST = 6  # words of one garment's phrase


@dataclass(frozen=True, slots=True)
class Garment:
    """A piece of clothing whose colour is said."""

    noun: str  # as the caption has it; "clothes" for "a woman in black"
    colour: str  # a section of wordlists/colours.txt
    region: Region


@dataclass(frozen=True, slots=True)
class _Piece:
    garment: Garment | None  # None: worn, but not where or not in one colour that could be asked
    end: int  # index of the token behind it


def asked_clothes(caption: str) -> tuple[tuple[Garment, ...], ...]:
    """The garments of each person in the caption's order; people without any said are empty.

    A group of unknown size counts as one person.
    """
    words = [(match.start(), match.group().lower()) for match in _TOKEN.finditer(caption)]
    mentions = _mentions(caption)
    people: list[list[Garment]] = [[] for _, n in mentions for _ in range(n)]
    dressed: set[int] = set()
    for place, garments in _phrases([word for _, word in words]):
        owner = sum(end <= words[place][0] for end, _ in mentions) - 1
        if owner < 0:
            continue
        owners = _joined(caption, mentions, owner, dressed) if _plural(garments) else [owner]
        dressed.add(owner)
        for i in owners:
            first = sum(n for _, n in mentions[:i])
            for person in people[first : first + mentions[i][1]]:
                person += garments
    return tuple(tuple(garments) for garments in people)


def _mentions(caption: str) -> list[tuple[int, int]]:
    """Where each mention of people ends, and how many they are."""
    found: list[tuple[int, int]] = []
    start = 0
    for span in human_spans(caption):
        if span.kind != "person":
            continue
        part = caption[start : span.end]
        if found and part.strip().lower() in ("of people", "of " + span.text.lower()):
            count = expected_people(caption[: span.end])  # "a group of women" are counted once
            before = sum(n for _, n in found[:-1])
            found[-1] = (span.end, max((count or 1 + before) - before, 1))
        else:
            found.append((span.end, max(expected_people(part.lstrip(" ,")) or 1, 1)))
        start = span.end
    return found


def _joined(
    caption: str, mentions: Sequence[tuple[int, int]], owner: int, dressed: set[int]
) -> list[int]:
    """The people of "a man and a woman in red shirts": the owner, and who is joined to it."""
    owners = [owner]
    while owners[0] > 0 and owners[0] - 1 not in dressed:
        between = caption[mentions[owners[0] - 1][0] : mentions[owners[0]][0]].lower()
        if not between.lstrip().startswith(_JOINS):
            break
        owners.insert(0, owners[0] - 1)
    return owners


def _plural(garments: Sequence[Garment]) -> bool:
    # "shirts", whose singular is a garment too; trousers and jeans are of one person
    return any(g.noun.endswith("s") and g.noun not in _garments(own=True) for g in garments)


def _phrases(words: Sequence[str]) -> Iterator[tuple[int, list[Garment]]]:
    """Each place where something is worn, with what: "in a red shirt and blue trousers"."""
    place = 0
    while place < len(words):
        word, begin = words[place], place + 1
        if word not in _words("wears") and word not in _words("has"):
            place = begin
            continue
        garments: list[Garment] = []
        piece = _piece(words, begin, bare=word in _words("wears"))
        while piece is not None:
            garments += [piece.garment] if piece.garment else []
            begin = piece.end
            ahead = begin
            while ahead < len(words) and words[ahead] in _JOINS:
                ahead += 1
            piece = _piece(words, ahead, bare=False) if ahead > begin else None
        if garments:
            yield place, garments
        place = begin


def _piece(words: Sequence[str], begin: int, *, bare: bool) -> _Piece | None:
    """One garment with its colours from ``begin`` on; None: nothing that is worn stands there."""
    colours: set[str] = set()
    patterned, noun, at = False, "", begin
    while at < min(len(words), begin + _LONGEST):
        word = words[at]
        named = [c for part in word.split("-") if (c := _colours().get(part))]
        if word in _garments():
            noun = word
        elif noun:
            break
        elif named:
            colours.update(named)
        elif word in _words("patterned"):
            patterned = True
        elif word in _JOINS:
            if not (colours and at + 1 < len(words) and _is_colour(words[at + 1])):
                break
        elif _ends_phrase(word) or (bare and colours and _acts(words, at)):
            break
        at += 1
    if not noun:
        said = bare and colours and at > begin and _is_colour(words[at - 1])
        return _Piece(_garment("clothes", "torso", colours, patterned), at) if said else None
    region = _garments()[noun]
    return _Piece(_garment(noun, region, colours, patterned), at)


def _ends_phrase(word: str) -> bool:
    readings = lx.readings(word)
    if readings & (lx.DET | lx.POSSESSIVE):
        return False
    return bool(readings & _ENDS) or word in _words("wears")


def _acts(words: Sequence[str], at: int) -> bool:
    """Whether "running" is what the person does: "in red running", not "in red running shoes"."""
    following = words[at + 1] if at + 1 < len(words) else ""
    return bool(lx.readings(words[at]) & lx.ING) and following not in _garments()


def _garment(noun: str, region: str, colours: set[str], patterned: bool) -> Garment | None:
    if patterned or len(colours) != 1:
        return None
    regions = (each for each in get_args(Region) if each == region)  # none: it is elsewhere
    return next((Garment(noun, next(iter(colours)), each) for each in regions), None)


def _is_colour(word: str) -> bool:
    return word.split("-")[-1] in _colours()


def colour_names() -> tuple[str, ...]:
    """The basic colours that a caption may ask for."""
    return tuple(dict.fromkeys(_colours().values()))


@cache
def _colours() -> dict[str, str]:
    return {word: colour for colour, word in lx.entries("colours")}


@cache
def _garments(*, own: bool = False) -> dict[str, str]:
    """Garment -> region; their regular plurals too, unless only the list's own are wanted."""
    listed = {
        word: section
        for section, word in lx.entries("clothing")
        if section in (*get_args(Region), "other")
    }
    return listed if own else {lx.plural(word): region for word, region in listed.items()} | listed


@cache
def _words(section: str) -> frozenset[str]:
    return frozenset(word for own, word in lx.entries("clothing") if own == section)
