"""The vocabulary of the human token extractor: what kinds of word a caption's word can be.

A word maps to a set of bits (its readings); ``hcp.tagging`` picks one by context. The lists are the
text files in ``hcp/data``; unknown words get readings by suffix rules.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

_DATA = Path(__file__).parent / "data"

(
    PERSON, WEAK, GROUP, ANIMAL, BODY, WORN, PLACE, VEHICLE, OPAQUE, PHOTO,
    ING, VERB_S, VERB_BASE, VERB_PAST, PAST_ONLY, MOVES, THING_DOES, POSTURE, LIGHT, ING_NOUN,
    DET, POSSESSIVE, PREP, CONJ, SUB, REL, BE, AUX, PRONOUN, IT, ADVERB, ADJECTIVE,
    ALWAYS, PLAYED, VERBAL, PLURAL, GENITIVE, TO, PUNCT, BALLGAME,
    ARTIFICIAL, AIRBORNE,
) = (1 << bit for bit in range(42))  # fmt: skip

FINITE = VERB_S | VERB_BASE | VERB_PAST
CLOSED = PREP | CONJ | SUB | REL | BE | AUX | TO | PUNCT
ACTIVITY = ALWAYS | PLAYED | VERBAL
TRIGGERS = PERSON | GROUP | BODY | PRONOUN | ALWAYS
"""A caption in which no word has one of these readings has no human token."""

_SECTION_BITS = {
    "person_nouns": PERSON,
    "person_groups": GROUP,
    "weak_person": WEAK,
    "animals": ANIMAL,
    "body_parts": BODY,
    "always": ALWAYS,
    "played": PLAYED,
    "verbal": VERBAL,
    "opaque": OPAQUE,
    "photo": PHOTO,
    "vehicle": VEHICLE,
    "worn": WORN,
    "place": PLACE,
    "noun": ING_NOUN,
    "det": DET,
    "possessive": POSSESSIVE,
    "prep": PREP,
    "conj": CONJ,
    "sub": SUB,
    "rel": REL,
    "be": BE,
    "aux": AUX,
    "pronoun": PRONOUN,
    "itpron": IT,
    "adverb": ADVERB,
    "adjective": ADJECTIVE,
    "light": LIGHT,
    "thing": THING_DOES,
    "moves": MOVES,
    "posture": POSTURE,
    "ballgame": BALLGAME,
    "artificial": ARTIFICIAL,
    "airborne": AIRBORNE,
}
_INFLECTED_NOUNS = ("person_nouns", "weak_person", "animals", "body_parts", "images", "objects",
                    "activities")  # fmt: skip


def _entries(name: str) -> Iterator[tuple[str, str]]:
    """Yield (section, word) of one list; lines are ``section: words`` or plain words."""
    for line in (_DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        section, colon, words = line.rpartition(": ")
        for word in words.split():
            yield (section if colon else name), word


def plural(noun: str) -> str:
    """Return the regular English plural (``lady`` -> ``ladies``, ``man`` -> ``men``)."""
    if noun.endswith("man") and noun != "human":
        return noun[:-2] + "en"
    if noun.endswith("child"):
        return noun + "ren"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith(("s", "x", "ch", "sh", "z")):
        return noun + "es"
    return noun + "s"


def _doubled(verb: str) -> str:
    vowels = sum(letter in "aeiouy" for letter in verb)
    if (
        vowels == 1
        and len(verb) > 2
        and verb[-1] not in "aeiouwxy"
        and verb[-2] in "aeiou"
        and verb[-3:-2] not in "aeiou"
    ):
        return verb + verb[-1]
    return verb


def inflections(verb: str) -> dict[str, int]:
    """Return the regular forms of a verb with their readings."""
    stem = verb[:-1] if verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")) else verb
    ing = verb[:-2] + "ying" if verb.endswith("ie") else _doubled(stem if stem else verb) + "ing"
    if stem != verb:
        ing = (verb[:-2] + "y" if verb.endswith("ie") else stem) + "ing"
    past = stem + "ed" if stem != verb else _doubled(verb) + "ed"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        past = verb[:-1] + "ied"
    third = verb + "es" if verb.endswith("o") else plural(verb)
    return {verb: VERB_BASE, third: VERB_S, ing: ING, past: VERB_PAST}


def _add_verbs(table: dict[str, int]) -> None:
    for section, entry in _entries("verbs"):
        if section == "participle":
            _merge(table, entry, VERB_PAST | POSTURE)
            continue
        verb, _, irregular = entry.partition("=")
        extra = _SECTION_BITS.get(section, 0)
        forms = inflections(verb)
        for position, form in enumerate(irregular.split(",") if irregular else ()):
            past_only = PAST_ONLY if position == 0 and ("," in irregular or form in _PASTS) else 0
            forms[form] = forms.get(form, 0) | VERB_PAST | past_only
        for form, bits in forms.items():
            table[form] = table.get(form, 0) | bits | extra


_PASTS = ("sat", "stood", "swam", "sang")


def _merge(table: dict[str, int], word: str, bits: int) -> None:
    table[word] = table.get(word, 0) | bits


@cache
def words() -> dict[str, int]:
    """Return the readings of every listed word, inflected forms included."""
    table: dict[str, int] = {}
    _add_verbs(table)
    for name in ("verbal_nouns", "function_words", "person_groups"):
        for section, word in _entries(name):
            _merge(table, word, _SECTION_BITS[section])
    for name in _INFLECTED_NOUNS:
        for section, word in _entries(name):
            bits = _SECTION_BITS[section] | (PERSON if section == "weak_person" else 0)
            _merge(table, word, bits)
            if not word.endswith("men") and not (bits & (WORN | PLACE) and word.endswith("s")):
                _merge(table, plural(word), bits | PLURAL)
    table["to"] = TO
    for word in ("people", "children", "men", "women", "folk", "folks"):
        table[word] |= PLURAL
    return table


@cache
def _not_person() -> frozenset[str]:
    return frozenset(form for _, word in _entries("not_person") for form in (word, plural(word)))


def _is_agent(word: str) -> bool:
    """Tell whether a singular noun names a person by its ending."""
    if word in _not_person():
        return False
    if word.endswith(("man", "woman", "boy", "girl", "person")) and len(word) > 5:
        return True
    if word.endswith("ist") and len(word) > 6:
        return True
    if word.endswith(("er", "or")) and len(word) > 4:
        known = words()
        stem = word[:-2]
        stems = (stem, stem + "e", stem[:-1] if stem[-1:] == stem[-2:-1] else stem)
        return any(known.get(base, 0) & VERB_BASE for base in stems)
    return False


def _unknown(word: str) -> int:
    if word.endswith("ing") and len(word) > 4:
        return ING
    if word.endswith("ed") and len(word) > 4:
        return VERB_PAST
    if word.endswith("ly") and len(word) > 4:
        return ADVERB
    if word.endswith(("men", "women")) and _is_agent(word[:-2] + "an"):
        return PERSON | PLURAL
    if word.endswith("s") and _is_agent(word[:-1]):
        return PERSON | PLURAL
    return PERSON if _is_agent(word) else 0


@lru_cache(maxsize=1 << 16)
def readings(word: str) -> int:
    """Return the readings of a caption's word as bits; 0 is a plain noun.

    Any case; a genitive (``man's``) has the noun's readings and ``GENITIVE``.
    """
    lower = word.lower().replace("’", "'")
    table = words()
    known = table.get(lower)
    if known is not None:
        return known
    if lower.endswith("'s") and len(lower) > 3:
        return (readings(lower[:-2]) & ~(FINITE | BODY)) | GENITIVE
    if not lower[0].isalnum():
        return PUNCT
    if lower.isdigit():
        return DET
    if "-" in lower:
        return _hyphenated(lower)
    return _unknown(lower)


def _hyphenated(word: str) -> int:
    last = readings(word.rpartition("-")[2])
    if last & (PERSON | ANIMAL):
        return last
    return ADJECTIVE if last & (VERB_PAST | ING | BODY | WORN) else 0
