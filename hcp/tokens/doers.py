"""Whether a verb's doer is a person: the subject of its clause, or the phrase nearest to it."""

from hcp.tokens import lexicon as lx
from hcp.tokens.phrases import ANIMATE, DEPICTED, HUMAN, PLACE, THING, VEHICLE, WORN, Phrases

_CARRIED = frozenset(
    ("on", "in", "with", "atop", "aboard", "through", "over", "onto", "into", "object", "conj")
)


def subject_is_human(phrases: Phrases, verb: int, *, adjacent: bool) -> bool:
    """Whether a person is the subject of a finite verb.

    ``verb`` is the verb's readings; ``adjacent``: the last phrase stands right before it.
    """
    if not phrases.met:
        return False
    last = phrases.met[-1]
    animate = last.stands_for <= ANIMATE
    bare = last.stands_for == WORN or not phrases.flags[last.start] & (lx.DET | lx.PRONOUN)
    if adjacent and (
        (last.role == "conj" and (animate or not bare))
        or (last.role == "object" and animate)
        or last.role in ("subject", "while", "as", "when")
    ):
        phrases.subject = last
        return last.stands_for == HUMAN
    if phrases.subject is None or (phrases.subject.flags & lx.IT and len(phrases.met) > 1):
        return nearest_is_human(phrases, verb)
    return phrases.subject.stands_for == HUMAN


def nearest_is_human(phrases: Phrases, verb: int, *, relative: bool = False) -> bool:
    """Whether the phrase that a participle or relative clause belongs to is a person.

    ``verb`` is the verb's readings; ``relative``: it stands in a relative clause.
    """
    moves, thing = verb & lx.MOVES, verb & lx.THING_DOES
    for phrase in reversed(phrases.met):
        what = phrase.stands_for
        if what == HUMAN:
            return True
        if (phrase.role == "of" and what in (THING, VEHICLE)) or phrase.role == "like":
            continue  # the phrase before it stands for the same
        if what in (WORN, PLACE):
            if thing and relative:
                return False  # "a shirt that says"
            continue
        if what == ANIMATE and phrase.role in ("on", "atop") and not (moves or thing):
            continue  # "a woman on a horse smiling"
        if what in (ANIMATE, DEPICTED) or (thing and phrase.role != "object"):
            return False
        if verb & lx.AIRBORNE and phrase.role == "with" and what == VEHICLE:
            return False
        if moves and phrase.role not in _CARRIED:
            return False
    return False
