"""Noun phrases of a caption: what each stands for, and which one is a verb's doer.

A phrase stands for a person, an animal (or a figure that acts like one), or a kind of thing; a
caption's phrases are kept in reading order with their role: subject, object, or the preposition or
conjunction before them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hcp.tokens import lexicon as lx
from hcp.tokens.verbs import is_light
from storage.records import SpanKind

HUMAN, ANIMATE, THING, VEHICLE, WORN, PLACE, DEPICTED = range(7)

_KINDS_OF_THING = ((lx.ANIMAL, ANIMATE), (lx.VEHICLE, VEHICLE), (lx.WORN, WORN), (lx.PLACE, PLACE))
_GAMES = frozenset(("game", "games", "match", "round", "set"))
_NEAR = 3
"""Words from a participle to what it is done as: "dressed up as a man"."""
_HUNG = ("on the wall", "on a wall", "hanging", "framed", "in a frame")


@dataclass(slots=True, eq=False)
class Phrase:
    """A noun phrase: words ``start`` to ``end`` (exclusive), its head and its role."""

    start: int
    head: int
    end: int
    flags: int  # readings of the head
    role: str
    stands_for: int = THING


@dataclass(slots=True, eq=False)
class Phrases:
    """The noun phrases met so far in one caption, and the kinds of its human words."""

    words: Sequence[str]  # lower case
    flags: Sequence[int]
    animals: bool  # whether the caption names any
    kinds: dict[int, SpanKind] = field(default_factory=dict[int, SpanKind])
    met: list[Phrase] = field(default_factory=list[Phrase])
    subject: Phrase | None = None
    passives: list[int] = field(default_factory=list[int])  # verbs that wait for "by someone"
    doer: bool = False  # whether the last verb's doer is a person
    plays: bool = False  # the last verb takes activities ("playing tennis")
    depicts: bool = False  # the last verb's subject is a sign, statue or the like
    opening: bool = True  # nothing but the caption's first phrase so far

    def add(self, phrase: Phrase, attributive: int) -> None:
        """Judge a finished phrase; ``attributive`` is a participle in it or -1."""
        self._judge(phrase)
        if phrase.stands_for == HUMAN:
            if attributive >= 0:
                self.kinds[attributive] = "action"
            if phrase.flags & lx.BODY:
                self._name_owner(phrase)
        self._relate(phrase)
        self.met.append(phrase)

    def do(self, i: int, f: int, human: bool) -> None:
        """Note that word ``i``, of readings ``f``, is a verb, and whether a person does it."""
        if human and not is_light(f, self.word(i + 1)):
            self.kinds[i] = "action"
        self.depicts = bool(f & lx.SHOWING and self.met and self.met[-1].flags & lx.OPAQUE)
        self.doer = human
        self.plays = bool(f & lx.PLAYING)
        self.opening = False
        self.passives = []

    def undergo(self, i: int, f: int, human: bool) -> None:
        """Note that word ``i`` is a participle that waits for its doer ("by someone")."""
        if not f & lx.STATIVE:
            self.passives = [i]
        self.doer = human
        self.plays = False

    def word(self, i: int) -> str:
        """Word ``i``, empty outside the caption."""
        return self.words[i] if 0 <= i < len(self.words) else ""

    def _judge(self, phrase: Phrase) -> None:
        flags = phrase.flags
        if flags & lx.PEOPLE and self._qualified(phrase, lx.ARTIFICIAL):
            phrase.stands_for = ANIMATE
        elif flags & lx.BODY and self._is_human_body(phrase):
            phrase.stands_for = HUMAN
            self.kinds[phrase.head] = "body"
        elif flags & lx.ACTIVITY and self._is_activity(phrase):
            self.kinds[phrase.head] = "action"
        elif flags & (lx.PERSON | lx.GROUP):
            self._judge_person(phrase)
        elif flags & (lx.PRONOUN | lx.DET):
            animate = self.last_animate()
            if animate is not None:
                phrase.stands_for = animate.stands_for
            elif flags & lx.PRONOUN:
                phrase.stands_for = HUMAN
        else:
            for bit, kind in _KINDS_OF_THING:
                if flags & bit:
                    phrase.stands_for = kind
                    return

    def _qualified(self, phrase: Phrase, bits: int) -> bool:
        """Whether a word before the head has one of the readings."""
        return any(self.flags[j] & bits for j in range(phrase.start, phrase.head))

    def _judge_person(self, phrase: Phrase) -> None:
        word = self.words[phrase.head]
        following = self.word(phrase.end)
        if phrase.flags & lx.WEAK and self.animals and self._is_animal_kin(phrase):
            phrase.stands_for = ANIMATE
        elif word.startswith(("batter", "pitcher")):
            if any(f & lx.BALLGAME for f in self.flags):
                self._mark_person(phrase)
        elif phrase.role == "without" or self.words[phrase.start] == "no":
            phrase.stands_for = HUMAN  # nobody is there: nothing to point at
        elif word == "model" and following == "of":
            return
        elif self.passives and not self.doer and self._is_guise(phrase):
            phrase.stands_for = ANIMATE  # "a bear dressed as a man"
        elif word == "couple" and following == "of":
            phrase.stands_for = HUMAN
        else:
            self._mark_person(phrase)

    def _is_guise(self, phrase: Phrase) -> bool:
        near = phrase.start - self.passives[-1] <= _NEAR
        return near and phrase.role in ("as", "like")

    def _mark_person(self, phrase: Phrase) -> None:
        phrase.stands_for = HUMAN
        self.kinds[phrase.head] = "person"

    def _name_owner(self, phrase: Phrase) -> None:
        """A person's body ("a man's hand") names the person; "child's toy" does not."""
        for j in range(phrase.start, phrase.head):
            if self.flags[j] & lx.GENITIVE and self.flags[j] & lx.PERSON:
                self.kinds[j] = "person"

    def _is_animal_kin(self, phrase: Phrase) -> bool:
        """Whether a word such as "mother" or "baby" names an animal of the caption."""
        if self._qualified(phrase, lx.ANIMAL):
            return True
        if self.flags[phrase.start] & lx.POSSESSIVE or phrase.role in ("conj", "with"):
            owner = self.last_animate()
            if owner is None or owner.stands_for != ANIMATE:
                return False
            return owner is self.met[-1] or self.words[phrase.start] == "its"
        if self.word(phrase.end) == "and":  # "a mother and baby elephant"
            for j in range(phrase.end + 1, min(phrase.end + 5, len(self.words))):
                if self.flags[j] & lx.ANIMAL:
                    return bool(self.flags[j - 1] & lx.WEAK)
                if self.flags[j] & lx.CLOSED:
                    return False
        return False

    def last_animate(self) -> Phrase | None:
        """Return the last phrase for a person or animal."""
        for phrase in reversed(self.met):
            if phrase.stands_for <= ANIMATE:
                return phrase
        return None

    def _is_human_body(self, phrase: Phrase) -> bool:
        first, word = self.flags[phrase.start], self.words[phrase.head]
        for j in range(phrase.start, phrase.head):
            if self.flags[j] & lx.GENITIVE:
                return bool(self.flags[j] & (lx.PERSON | lx.PRONOUN))
            if self.flags[j] & (lx.ANIMAL | lx.OWNER):
                return False  # "clock face"
        if word in ("back", "bottom", "backs") and not first & lx.POSSESSIVE:
            return False
        if self.words[phrase.start] == "its" or (word == "body" and self._is_next_ing(phrase)):
            return False  # "body surfing"
        if word in ("foot", "feet") and self.word(phrase.end) in ("tall", "long", "of"):
            return False
        bare = phrase.start == phrase.head and phrase.flags & lx.COUNTED and self.met
        if bare and phrase.role not in ("in", "with", "conj"):
            return False  # "over head"
        owner = self.last_animate()
        if owner is not None:
            return owner.stands_for == HUMAN
        if first & lx.POSSESSIVE:
            return not self.animals
        if self._does_something(phrase):
            return True
        return not self.met or phrase.role not in ("with", "of", "object")

    def _does_something(self, phrase: Phrase) -> bool:
        """Tell "two hands holding knives" from "a clock with hands showing noon"."""
        following = self._next(phrase)
        shows = following & (lx.SHOWING | lx.THING_DOES | lx.ING_NOUN)
        return bool(following & lx.ING) and not shows and not self.animals

    def _is_next_ing(self, phrase: Phrase) -> bool:
        return phrase.start == phrase.head and bool(self._next(phrase) & lx.ING)

    def _next(self, phrase: Phrase) -> int:
        """Return the readings of the word after the phrase, none at the caption's end."""
        return self.flags[phrase.end] if phrase.end < len(self.flags) else 0

    def _is_activity(self, phrase: Phrase) -> bool:
        flags = phrase.flags
        if not any(f & lx.TRIGGERS for f in self.flags):
            return False
        if flags & lx.ALWAYS:
            return True
        if flags & lx.VERBAL:
            return self.doer and phrase.role in ("object", "conj", "for")
        if self.flags[phrase.start] & (lx.DET | lx.POSSESSIVE):
            return False
        if phrase.role == "of":
            return bool(self.met) and self.words[self.met[-1].head] in _GAMES
        return self.doer and self.plays and phrase.role == "object"

    def _relate(self, phrase: Phrase) -> None:
        """Relate a finished phrase to what stands before it: of-phrases, by-phrases, subjects."""
        before = self.met[-1] if self.met else None
        if phrase.role == "of" and before is not None and self.word(before.end) == "of":
            self._of(before, phrase)  # not "a couple standing outside of a restaurant"
        elif phrase.role == "by" and self.passives:
            if phrase.stands_for == HUMAN:
                self.kinds.update(dict.fromkeys(self.passives, "action"))
            self.passives = []
        elif (self.depicts and phrase.role == "object") or (
            phrase.role == "with" and before is not None and before.flags & lx.OPAQUE
        ):
            self._depict(phrase)
        if phrase.role in ("subject", "while", "as", "when") or self.subject is None:
            self.subject = phrase
        if phrase.role == "conj" and before is not None and self._is_listed(before, phrase):
            self._coordinate(before, phrase)

    def _is_listed(self, before: Phrase, phrase: Phrase) -> bool:
        """Whether nothing but "and" or a comma stands between: no verb, no end of a sentence."""
        between = range(before.end, phrase.start)
        return all(self.flags[j] & lx.CONJ or self.words[j] == "," for j in between)

    def _coordinate(self, before: Phrase, phrase: Phrase) -> None:
        if before.stands_for == DEPICTED:
            self._depict(phrase)
        elif {phrase.stands_for, before.stands_for} == {HUMAN, ANIMATE}:
            # "a man and a dog running": one of the doers is a person
            phrase.stands_for = before.stands_for = HUMAN

    def _of(self, before: Phrase, phrase: Phrase) -> None:
        opaque = before.stands_for == DEPICTED or before.flags & lx.OPAQUE
        if opaque or (before.flags & lx.FRAMABLE and self._is_framed(before)):
            before.stands_for = DEPICTED
            self._depict(phrase)
            return
        unmarks = lx.BODY | lx.WEAK | (lx.GROUP if phrase.stands_for == ANIMATE else 0)
        if phrase.stands_for != HUMAN and before.flags & unmarks:
            self._unmark(before)
        partitive = before.flags & (lx.GROUP | lx.PRONOUN | lx.DET) and (
            before.flags & unmarks or phrase.stands_for == HUMAN or not before.flags & lx.GROUP
        )  # "a crowd of fans" stays human whatever "fans" are
        if not before.flags & lx.BODY and (before.stands_for != HUMAN or partitive):
            before.stands_for = phrase.stands_for

    def _is_framed(self, photo: Phrase) -> bool:
        """Whether "picture of people" is a thing in the caption, not the caption's own photo."""
        tail = " ".join(self.words[photo.end :])
        return not self.opening or any(clue in tail for clue in _HUNG)

    def _depict(self, phrase: Phrase) -> None:
        self._unmark(phrase)
        phrase.stands_for = DEPICTED

    def _unmark(self, phrase: Phrase) -> None:
        for j in range(phrase.start, phrase.head + 1):
            self.kinds.pop(j, None)
        if phrase.stands_for == HUMAN:
            phrase.stands_for = THING
