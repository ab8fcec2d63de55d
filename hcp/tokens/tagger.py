"""A light shallow parse of a caption: noun phrases, verbs, and who does what.

One pass from left to right. Each word has one or more readings (``lexicon``); the event before
it and the word after it pick one. A verb is an action word where its doer is a person: the phrase
before it, the subject of the clause, or the doer of the verb it continues ("sitting and eating").
"""

from collections.abc import Sequence

from hcp.tokens import lexicon as lx
from hcp.tokens.doers import nearest_is_human, subject_is_human
from hcp.tokens.phrases import Phrase, Phrases
from hcp.tokens.verbs import (
    STOP,
    Noun,
    continues_verb,
    ends_phrase,
    is_done,
    is_sport,
    is_verb_after,
    lists_people,
    takes_gerund,
)

_PRONOMINAL = frozenset(("another", "one", "each"))
_NEXT_TO = frozenset(("next", "close", "adjacent", "similar", "due"))
_DETERMINED = lx.DET | lx.POSSESSIVE
_OBJECT = _DETERMINED | lx.PREP


class Tagger:
    """Reads one caption: its words in lower case, their readings, and whether one is an animal."""

    __slots__ = (
        "attributive", "event", "flags", "head", "last_verb", "phrases", "relative", "role",
        "start", "verb_flags", "words",
    )  # fmt: skip

    def __init__(self, words: Sequence[str], flags: Sequence[int], *, animals: bool) -> None:
        self.words = words  # lower case
        self.flags = flags
        self.phrases = Phrases(words, flags, animals)
        self.start = -1  # of the open noun phrase, -1 where none is open
        self.head = -1  # of the open noun phrase, -1 where it has no noun yet
        self.attributive = -1  # a participle before the head of the open phrase
        self.role = "subject"  # of the phrase to come
        self.event = "start"  # start, phrase, verb, prep, conj, sub, rel, be, aux, to
        self.relative = False  # in a relative clause that has no verb yet
        self.last_verb = -1
        self.verb_flags = 0  # readings of the last verb

    def run(self) -> Phrases:
        """Return the caption's phrases and human words."""
        for i, f in enumerate(self.flags):
            if self._opens_sport(i):
                self._flush(i)
                continue
            if is_sport(self.words, i - 1):
                f &= ~lx.ING_NOUN
            if f & lx.CLOSED and self._function_word(i, f):
                continue
            if f & _DETERMINED:
                if not (0 <= self.start == i - 1 and self.head < 0):  # one phrase: "the six men"
                    self._flush(i)
                    self.start = i
            elif f & (lx.PRONOUN | lx.IT) and not f & lx.GENITIVE:
                self._flush(i)
                self.start = self.head = i
                self._flush(i + 1)
            elif (f & lx.ING and self._ing(i, f)) or (f & lx.FINITE and self._finite(i, f)):
                continue
            else:
                self._noun(i, f)
        self._flush(len(self.words))
        return self.phrases

    def _flag(self, i: int) -> int:
        return self.flags[i] if 0 <= i < len(self.flags) else lx.PUNCT

    def _last_head(self) -> str:
        return self.words[self.phrases.met[-1].head] if self.phrases.met else ""

    def _opens_sport(self, i: int) -> bool:
        """Whether a person does a sport of several words that begins or goes on here."""
        if self.start >= 0 and self.head < 0:
            return False  # "a snow boarding jacket"
        people = self.head < 0 or self.flags[self.head] & (lx.PERSON | lx.GROUP)
        return bool(people) and is_sport(self.words, i)

    def _noun(self, i: int, f: int) -> None:
        """Extend the open noun phrase by a noun, adjective or genitive; an adverb ends it."""
        owned = f & lx.BODY and self._flag(i - 1) & (lx.POSSESSIVE | lx.GENITIVE)
        if f & lx.ADVERB and not owned:
            if self.head >= 0:
                self._flush(i)
            return
        after_in = self.role == "in" and self.start < 0
        adjective = f & lx.ADJECTIVE and not ends_phrase(self.flags, i, after_in=after_in)
        if f & lx.ADJECTIVE and self.head >= 0 and not adjective and not f & lx.PERSON:
            self._flush(i)  # "a man naked"
            return
        if self.start < 0:
            self.start = i
        if f & lx.GENITIVE and not (self._flag(i + 1) & lx.ING and self._flag(i + 2) & _OBJECT):
            self.head = -1
        elif not adjective:
            self.head = i

    def _flush(self, end: int) -> None:
        """Close the open noun phrase, if any."""
        if self.start < 0:
            return
        head = self.head if self.head >= 0 else end - 1
        flags = self.flags[head] if self.head >= 0 else lx.DET
        phrase = Phrase(self.start, head, end, flags=flags, role=self.role)
        self.phrases.add(phrase, self.attributive)
        self.start = self.head = self.attributive = -1
        self.role, self.event = "object", "phrase"

    def _function_word(self, i: int, f: int) -> bool:
        """Handle a function word; False where it is not one here ("that" as a determiner)."""
        if f & lx.REL and f & lx.DET and self.head < 0:
            return False
        adjacent = self.head >= 0
        self._flush(i)
        word = self.words[i]
        if f & lx.PREP:
            if f & lx.VERB_BASE and self.event in ("be", "to"):
                return False
            self.role, self.event = word, "prep"
            self.phrases.opening = self.phrases.opening and word == "of"
        elif f & (lx.BE | lx.AUX):
            self._auxiliary(i, f, adjacent=adjacent)
        elif f & lx.REL:
            self.role, self.event, self.relative = "subject", "rel", True
        elif word == "as" and self.event == "verb":
            self.role, self.event = "like", "prep"  # "dressed as animals"
        elif f & lx.SUB:
            self.role, self.event = ("as" if word == "as" else "while"), "sub"
        elif f & lx.TO:
            self.role, self.event = "to", "prep" if self.phrases.word(i - 1) in _NEXT_TO else "to"
        else:
            if f & lx.PUNCT and word in ".;!?":
                self.phrases.subject = None
            self.role, self.event = "conj", "conj"
        return True

    def _auxiliary(self, i: int, f: int, *, adjacent: bool) -> None:
        if self.words[i] == "being":
            if self.event != "be":
                self.phrases.doer = nearest_is_human(self.phrases, f)
        else:
            self.phrases.doer = self._subject_is_human(f, adjacent=adjacent)
        self.relative = False
        if f & lx.BE:
            self.role, self.event = "complement", "be"
        else:
            self.role, self.event, self.phrases.opening = "object", "aux", False

    def _subject_is_human(self, f: int, *, adjacent: bool) -> bool:
        if self.relative:
            return nearest_is_human(self.phrases, f, relative=True)
        return subject_is_human(self.phrases, f, adjacent=adjacent)

    def _ing(self, i: int, f: int) -> bool:
        """Handle a word in -ing; False where it is a noun or opens the phrase to come."""
        following, phrases = self._flag(i + 1), self.phrases
        before_noun = not following & STOP and following & (lx.ING | lx.ING_NOUN) != lx.ING
        if f & lx.ING_NOUN:
            after_be = self.event == "be" and self.start < 0
            if not (self.head >= 0 and is_done(self.flags[self.head], following)) and not after_be:
                return False
        if self.head >= 0:
            animate = self.flags[self.head] & (lx.PEOPLE | lx.ANIMAL)
            if self.words[i] == "looking" and before_noun and not animate:
                return True  # "a tasty looking treat"
        elif self.start >= 0:
            listed = phrases.met and lists_people(self.words[i - 1], self.role)
            if before_noun and not (listed and not following & (lx.PERSON | lx.ANIMAL)):
                self.attributive = i
                return True
            if self.flags[self.start] & lx.POSSESSIVE or f & lx.ALWAYS:
                return False
            if self.flags[i - 1] & lx.GENITIVE:
                return False  # "a child's drawing"
        else:
            return self._bare_ing(i, f, before_noun=before_noun)
        self._flush(i)
        self._verb(i, f, nearest_is_human(phrases, f))
        return True

    def _bare_ing(self, i: int, f: int, *, before_noun: bool) -> bool:
        """A word in -ing with no noun phrase open: a verb, a gerund, or an attribute."""
        following, event, phrases = self._flag(i + 1), self.event, self.phrases
        if event == "prep":
            attributive = before_noun and not takes_gerund(self.role, self._last_head())
        else:
            opens = event in ("start", "conj", "sub") and not f & lx.THING_DOES
            attributive = before_noun and opens and following & (lx.PERSON | lx.ANIMAL)
        if attributive:
            self.start = self.attributive = i
            return True
        if f & lx.ALWAYS and event == "prep":
            return False
        if not phrases.met:
            human = event == "start" and self.words[i] != "looking"
        elif event in ("phrase", "rel") or (event == "conj" and not phrases.doer):
            human = nearest_is_human(phrases, f, relative=event == "rel")
        elif event in ("prep", "sub"):
            human = self._subject_is_human(f, adjacent=False)
        else:
            human = phrases.doer
        self._verb(i, f, human)
        return True

    def _finite(self, i: int, f: int) -> bool:
        """Handle a word that may be a finite verb or participle; False where it is a noun."""
        if f & lx.VERB_BASE and self.phrases.word(i + 1) == "of":
            return False
        if self.head >= 0:
            helped = bool(self._flag(self.last_verb) & lx.HELPING)
            noun = Noun(self.start, self.head, self.role, helped)
            if not is_verb_after(noun, i, self.words, self.flags):
                return False
            self._flush(i)
            return self._predicate(i, f)
        if self.start >= 0:
            if f & lx.VERB_S and self.start == i - 1 and self.words[i - 1] in _PRONOMINAL:
                self._flush(i)
                return self._predicate(i, f)
            participle = f & lx.VERB_PAST and not f & (lx.PERSON | lx.VERB_BASE)
            return bool(participle) and not self._flag(i + 1) & STOP
        if self.event == "conj":
            phrases, following = self.phrases, self._flag(i + 1)
            continues = phrases.subject is not None and continues_verb(
                f, self.verb_flags, following=following, human=phrases.doer
            )
            return continues and self._predicate(i, f)
        return self._after_event(i, f)

    def _after_event(self, i: int, f: int) -> bool:
        event, phrases = self.event, self.phrases
        if event == "to" and f & lx.VERB_BASE:
            purpose = self.last_verb < 0 and nearest_is_human(phrases, 0)
            self._verb(i, f, phrases.doer or purpose)
            return True
        if event in ("be", "aux"):
            if f & lx.VERB_PAST:
                self._participle(i, f, phrases.doer, active=event == "aux")
                return True
            if event == "aux" and f & lx.VERB_BASE and not f & lx.VERB_S:
                self._verb(i, f, phrases.doer)
                return True
            return False
        before, following = self._flag(i - 1), self._flag(i + 1)
        if event == "rel" or (
            event == "phrase"
            and (f & (lx.VERB_S | lx.VERB_PAST) or before & (lx.ADVERB | lx.PRONOUN))
        ):
            return self._predicate(i, f)
        if event == "verb" and (
            (f & lx.VERB_PAST and self.verb_flags & lx.LIGHT)
            or (f & lx.VERB_S and following & _DETERMINED)  # "who is skiing performs a trick"
        ):
            return self._predicate(i, f)
        return False

    def _predicate(self, i: int, f: int) -> bool:
        if f & lx.VERB_PAST and not f & (lx.VERB_BASE | lx.VERB_S):
            human = self.phrases.doer
            if self.event != "conj":
                human = nearest_is_human(self.phrases, f, relative=self.relative)
            active = f & lx.PAST_ONLY or self._flag(i + 1) & _DETERMINED
            self._participle(i, f, human, active=bool(active))
        else:
            human = self.event == "conj" and self.phrases.doer
            adjacent = self.event == "phrase"
            self._verb(i, f, human or self._subject_is_human(f, adjacent=adjacent))
        return True

    def _participle(self, i: int, f: int, human: bool, *, active: bool) -> None:
        if active or (f & lx.POSTURE and human):
            self._verb(i, f, human)
            return
        self.phrases.undergo(i, f, human)
        self.relative = False
        self.role, self.event = "object", "verb"

    def _verb(self, i: int, f: int, human: bool) -> None:
        self.phrases.do(i, f, human)
        self.relative = False
        self.last_verb, self.verb_flags = i, f
        self.role, self.event = "object", "verb"
