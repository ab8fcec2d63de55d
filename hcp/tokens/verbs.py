"""What a word is where it stands, a verb above all: choices that need no parse state."""

from collections.abc import Sequence
from typing import NamedTuple

from hcp.tokens import lexicon as lx

STOP = lx.CLOSED | lx.DET | lx.POSSESSIVE | lx.PRONOUN | lx.IT | lx.ADVERB
"""Words with one of these readings end the noun phrase before them."""
_GERUND_PREPS = frozenset(("by", "without", "after", "before", "about", "from"))
_ACT_OF = frozenset(("midst", "middle", "process", "act", "way", "motion", "day"))
_LISTED = frozenset(("both", "all", "one", "each"))
_COUNTED_OUT = frozenset(("two", "three", "some"))
_ONTO = frozenset(("into", "on", "onto", "off", "out", "in", "up"))
_SPORTS = frozenset(("boarding", "skiing", "surfing", "skating", "sailing", "gliding", "diving"))
_SPORT_OPENERS = frozenset((
    "snow", "skate", "kite", "parachute", "para", "water", "body", "wake", "wind", "sky", "boogie",
    "figure", "ice", "roller", "speed", "scuba", "hang", "sail", "country",
))  # fmt: skip


class Noun(NamedTuple):
    """The noun phrase that is open before a possible verb."""

    start: int
    head: int
    role: str  # "subject", "object", "conj" or a preposition
    helped: bool  # it is the object of a verb as in "helps a man walk"


def is_verb_after(noun: Noun, i: int, words: Sequence[str], flags: Sequence[int]) -> bool:
    """Tell whether word ``i`` is its noun's verb ("people walk") and not its head ("cross walk").

    ``flags`` are the words' readings; word ``i`` stands right after the noun phrase.
    """
    f, head = flags[i], flags[noun.head]
    following = flags[i + 1] if i + 1 < len(flags) else lx.PUNCT
    people = head & (lx.PERSON | lx.GROUP | lx.PRONOUN)
    animate = people or head & lx.ANIMAL
    bare = noun.start == noun.head and not head & lx.PLURAL
    undetermined = not flags[noun.start] & (lx.DET | lx.POSSESSIVE) and not head & lx.PLURAL
    if (undetermined and head & lx.BODY and not f & lx.VERB_S) or (bare and words[i] == "made"):
        return False  # "hand held", "full body shot", "man made rocks"
    if f & lx.NOUNY and not animate and noun.role != "subject":
        return False
    if not animate and noun.role != "subject" and f & lx.VERB_BASE and f & lx.VERB_PAST:
        return False  # "a picnic set"
    if head & lx.QUALIFIER and f & (lx.VERB_BASE | lx.NOUNY):
        return False
    if f & lx.ADJECTIVAL and not following & (lx.DET | lx.POSSESSIVE):
        return False
    plural = _is_plural(noun, words, flags)
    if f & (lx.VERB_S | lx.VERB_PAST) or (animate and plural):
        return True
    if f & lx.PERSON:
        return False
    if people and noun.helped and noun.role == "object":
        return True
    if people and following & (lx.DET | lx.POSSESSIVE | lx.PREP):
        return True  # "a man ride a horse"
    return plural


def _is_plural(noun: Noun, words: Sequence[str], flags: Sequence[int]) -> bool:
    head, word = flags[noun.head], words[noun.head]
    if head & (lx.PLURAL | lx.GROUP | lx.PRONOUN):
        return True
    if noun.role == "conj" and head & (lx.PERSON | lx.ANIMAL):
        return True  # "a man and his dog enjoy"
    return word.endswith("s") and not word.endswith(("ss", "us", "tennis"))


def is_sport(words: Sequence[str], i: int) -> bool:
    """Tell whether word ``i`` opens a sport written apart ("snow boarding"), or goes on with it."""
    first, second = words[i] if i >= 0 else "", words[i + 1] if i + 1 < len(words) else ""
    if (first, second) == ("cross", "country"):
        return is_sport(words, i + 1)
    return first in _SPORT_OPENERS and second in _SPORTS


def is_light(verb: int, following: str) -> bool:
    """Tell whether a verb only helps another ("getting ready to serve", "preparing to jump").

    ``verb`` is its readings, ``following`` the word after it.
    """
    if verb & lx.LIGHT:
        return not (verb & lx.GETTING and following in _ONTO)
    return bool(verb & lx.PREPARING) and following == "to"


def lists_people(word: str, role: str) -> bool:
    """Tell whether a word may stand for people met before ("two women, both wearing hats")."""
    return word in _LISTED or (role == "conj" and word in _COUNTED_OUT)


def takes_gerund(preposition: str, head: str) -> bool:
    """Tell whether a word in -ing is a verb after a preposition ("by eating", "the act of eating").

    ``head`` is the noun before the preposition.
    """
    return head in _ACT_OF if preposition == "of" else preposition in _GERUND_PREPS


def is_done(head: int, following: int) -> bool:
    """Tell whether a word that is mostly a noun ("painting") is what its noun's bearer does.

    ``head`` and ``following`` are the readings of the noun before it and of the word after it.
    """
    animate = head & (lx.PEOPLE | lx.ANIMAL) and not head & lx.QUALIFIER  # no "pedestrian crossing"
    return bool(animate or following & (lx.DET | lx.POSSESSIVE))


def continues_verb(word: int, last_verb: int, *, following: int, human: bool) -> bool:
    """Tell whether a word after "and" or a comma is a verb: it has the last verb's form.

    ``word``, ``last_verb`` and ``following`` are readings; ``human``: the last doer is a person.
    """
    if word & (lx.VERB_S | lx.VERB_PAST):
        parallel = last_verb & word & (lx.VERB_S | lx.VERB_PAST)
        return bool(parallel or not word & (lx.VERB_PAST | lx.NOUNY))
    if not (word & lx.VERB_BASE and human):
        return False
    return bool(last_verb & lx.VERB_BASE or following & (lx.DET | lx.POSSESSIVE | lx.PREP))


def ends_phrase(flags: Sequence[int], i: int, *, after_in: bool) -> bool:
    """Tell whether adjective ``i`` is its phrase's head ("a man in black", "two adults").

    ``flags`` are the words' readings; ``after_in``: it stands right after "in".
    """
    following, after = ([*flags[i + 1 : i + 3], lx.PUNCT, lx.PUNCT])[:2]
    if following & lx.ING_NOUN and after & (lx.DET | lx.POSSESSIVE):
        following &= ~lx.ING_NOUN  # "a male serving a ball"
    if following & (lx.ING | lx.VERB_S) and not following & (lx.ING_NOUN | lx.ANIMAL):
        return bool(flags[i] & lx.PERSON) or after_in
    return bool(following & STOP)
