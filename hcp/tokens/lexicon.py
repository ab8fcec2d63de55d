"""The vocabulary of the human token extractor: what kinds of word a caption's word can be.

A word maps to a set of bits (its readings); ``hcp.tokens.tagger`` picks one by context. The lists
are the text files in ``wordlists/``; words that no list holds get readings by their endings.
"""

from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

_DATA = Path(__file__).parent / "wordlists"

# Nouns.
PERSON, WEAK, GROUP, ANIMAL, BODY, WORN, PLACE, VEHICLE = (1 << bit for bit in range(8))
(OPAQUE, FRAMABLE, ALWAYS, PLAYED, VERBAL, ING_NOUN, PLURAL, GENITIVE) = (
    1 << bit for bit in range(8, 16)
)
# Verb forms, and what a verb's doer may be.
(ING, VERB_S, VERB_BASE, VERB_PAST, PAST_ONLY, MOVES, THING_DOES, POSTURE, LIGHT) = (
    1 << bit for bit in range(16, 25)
)
# Closed classes.
(
    DET, POSSESSIVE, PREP, CONJ, SUB, REL, BE, AUX, PRONOUN, IT, ADVERB, ADJECTIVE, TO, PUNCT,
) = (1 << bit for bit in range(25, 39))  # fmt: skip
# Habits of single words.
(
    BALLGAME, ARTIFICIAL, AIRBORNE, NOUNY, ADJECTIVAL, QUALIFIER, COUNTED, OWNER,
    PREPARING, GETTING, HELPING, SHOWING, PLAYING, STATIVE,
) = (1 << bit for bit in range(39, 53))  # fmt: skip

PEOPLE = PERSON | GROUP | BODY
FINITE = VERB_S | VERB_BASE | VERB_PAST
CLOSED = PREP | CONJ | SUB | REL | BE | AUX | TO | PUNCT
ACTIVITY = ALWAYS | PLAYED | VERBAL
TRIGGERS = PEOPLE | PRONOUN
"""A caption in which no word has one of these readings has no human token."""

_SECTIONS = {
    "person_nouns": PERSON,
    "person_groups": GROUP,
    "weak_person": PERSON | WEAK,
    "animals": ANIMAL,
    "body_parts": BODY,
    "always": ALWAYS,
    "played": PLAYED,
    "verbal": VERBAL,
    "opaque": OPAQUE,
    "photo": 0,
    "framable": FRAMABLE,
    "vehicle": VEHICLE,
    "worn": WORN,
    "place": PLACE,
    "ing_nouns": ING_NOUN,
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
    "to": TO,
    "light": LIGHT,
    "moves": MOVES,
    "thing": THING_DOES,
    "posture": POSTURE,
    "participle": VERB_PAST | POSTURE,
    "verb": 0,
    "ballgame": BALLGAME,
    "artificial": ARTIFICIAL,
    "airborne": AIRBORNE,
    "nouny": NOUNY,
    "adjectival": ADJECTIVAL,
    "qualifier": QUALIFIER,
    "counted": COUNTED,
    "owner": OWNER,
    "preparing": PREPARING,
    "getting": GETTING,
    "helping": HELPING,
    "showing": SHOWING,
    "playing": PLAYING,
    "stative": STATIVE,
}
_INFLECTED = (
    "person_nouns", "weak_person", "animals", "body_parts", "images", "objects", "activities",
)  # fmt: skip
_AS_THEY_STAND = ("person_groups", "ing_nouns", "function_words", "habits")
_SAME_PAST = frozenset(("sat", "stood", "swam", "sang"))  # past forms that rarely are participles


def entries(name: str) -> Iterator[tuple[str, str]]:
    """Yield (section, word) of one list; lines are ``section: words`` or plain words."""
    for line in (_DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        section, colon, words = line.rpartition(": ")
        for word in words.split():
            yield (section if colon else name), word


def plural(noun: str) -> str:
    """Return the regular plural of a noun or third person of a verb ("lady" -> "ladies")."""
    if noun.endswith("man") and noun != "human":
        return noun[:-2] + "en"
    if noun.endswith("child"):
        return noun + "ren"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh", "z")) else "s")


def _doubled(verb: str) -> str:
    """Double the last consonant of a short verb ("run" -> "runn")."""
    one_vowel = sum(letter in "aeiouy" for letter in verb) == 1
    if one_vowel and verb[-1] not in "aeiouwxy" and verb[-2:-1] in "aeiou":
        return verb + verb[-1]
    return verb


def inflections(verb: str) -> dict[str, int]:
    """Return the regular forms of a verb with their readings."""
    ing, past = _doubled(verb) + "ing", _doubled(verb) + "ed"
    if verb.endswith("ie"):
        ing, past = verb[:-2] + "ying", verb + "d"
    elif verb.endswith("e"):
        ing = (verb if verb.endswith(("ee", "ye", "oe")) else verb[:-1]) + "ing"
        past = verb + "d"
    elif verb.endswith("y") and verb[-2:-1] not in "aeiou":
        past = verb[:-1] + "ied"
    third = verb + "es" if verb.endswith("o") else plural(verb)
    return {verb: VERB_BASE, third: VERB_S, ing: ING, past: VERB_PAST}


def _verb_forms(entry: str) -> dict[str, int]:
    """Return the forms of a list's verb, irregular ones included ("ride=rode,ridden")."""
    verb, _, listed = entry.partition("=")
    forms = inflections(verb)
    for position, form in enumerate(listed.split(",") if listed else ()):
        past_only = position == 0 and ("," in listed or form in _SAME_PAST)
        forms[form] = forms.get(form, 0) | VERB_PAST | (PAST_ONLY if past_only else 0)
    return forms


def _all_forms() -> Iterator[tuple[str, int]]:
    for section, entry in entries("verbs"):
        bits = _SECTIONS[section]
        if section == "participle":
            yield entry, bits
            continue
        for form, reading in _verb_forms(entry).items():
            yield form, reading | bits
    for name in _AS_THEY_STAND:
        for section, word in entries(name):
            yield word, _SECTIONS[section]
    for name in _INFLECTED:
        for section, word in entries(name):
            bits = _SECTIONS[section]
            yield word, bits
            if not (word.endswith("men") or (bits & (WORN | PLACE) and word.endswith("s"))):
                yield plural(word), bits | PLURAL
    for word in ("people", "children", "men", "women", "folk", "folks"):
        yield word, PLURAL


@cache
def words() -> dict[str, int]:
    """Return the readings of every listed word, inflected forms included."""
    table: dict[str, int] = {}
    for form, bits in _all_forms():
        table[form] = table.get(form, 0) | bits
    return table


@cache
def _numbers() -> dict[str, int]:
    return {word: int(number) for number, word in entries("numbers")}


def number_of(word: str) -> int | None:
    """Return how many a word says ("two", "a", "couple", "12"); None where it says no number."""
    return int(word) if word.isdecimal() else _numbers().get(word)


@cache
def _not_person() -> frozenset[str]:
    return frozenset(form for _, word in entries("not_person") for form in (word, plural(word)))


def _is_agent(word: str) -> bool:
    """Tell whether a singular noun names a person by its ending."""
    if word in _not_person():
        return False
    if word.endswith(("man", "woman", "boy", "girl", "person")) and len(word) > 5:
        return True
    if word.endswith("ist") and len(word) > 6:
        return True
    if word.endswith(("er", "or")) and len(word) > 4:
        stem = word[:-2]
        stems = (stem, stem + "e", stem[:-1] if stem[-1:] == stem[-2:-1] else stem)
        return any(words().get(base, 0) & VERB_BASE for base in stems)
    return False


def _by_ending(word: str) -> int:
    if len(word) > 4:
        for ending, bits in (("ing", ING), ("ed", VERB_PAST), ("ly", ADVERB)):
            if word.endswith(ending):
                return bits
    if word.endswith("men") and _is_agent(word[:-2] + "an"):
        return PERSON | PLURAL
    if word.endswith("s") and _is_agent(word[:-1]):
        return PERSON | PLURAL
    return PERSON if _is_agent(word) else 0


def _hyphenated(word: str) -> int:
    last = readings(word.rpartition("-")[2])
    if last & (PERSON | ANIMAL):
        return last
    return ADJECTIVE if last & (VERB_PAST | ING | BODY | WORN) else 0


@lru_cache(maxsize=1 << 16)
def readings(word: str) -> int:
    """Return the readings of a caption's word as bits; 0 is a plain noun.

    ``word`` is in lower case with straight apostrophes. A genitive ("man's") has the noun's
    readings and ``GENITIVE``; a counted noun ("2girls") has the noun's.
    """
    known = words().get(word)
    if known is not None:
        return known
    if word.endswith("'s") and len(word) > 3:
        return (readings(word[:-2]) & ~(FINITE | BODY)) | GENITIVE
    if not word[0].isalnum():
        return PUNCT
    if word.isdigit():
        return DET
    if "-" in word:
        return _hyphenated(word)
    if word[0].isdigit():
        return readings(word.lstrip("0123456789")) & PERSON
    return _by_ending(word)
