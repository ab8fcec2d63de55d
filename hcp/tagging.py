"""A light shallow parse of a caption: noun phrases, verbs, and who does what.

One pass from left to right. It keeps the noun phrases met so far with their role (subject, object,
or the preposition before them) and picks for each verb the doer: the phrase before it, the subject
of the clause, or the doer of the verb it continues ("sitting and eating").
"""

from collections.abc import Sequence

from hcp import lexicon as lx
from storage.records import SpanKind

# What a noun phrase stands for.
HUMAN, ANIMATE, THING, VEHICLE, WORN, PLACE, DEPICTED = range(7)

_GERUND_PREPS = frozenset(("by", "without", "after", "before", "about", "from"))
_ACT_OF = frozenset(("midst", "middle", "process", "act", "way", "motion", "day"))
_PRONOMINAL = frozenset(("another", "one", "each"))
_GETTING = frozenset(("get", "gets", "getting", "got"))
_ONTO = frozenset(("into", "on", "onto", "off", "out", "in", "up"))
_PREPARING = frozenset(("prepare", "prepares", "preparing", "prepared", "going", "about"))
_ADJECTIVAL = frozenset(("close", "open", "clean", "dry", "warm", "clear", "light", "tan"))
_TRAVELLERS = frozenset(("passenger", "pedestrian", "commuter"))  # as in "passenger train"
_SHOWING = frozenset(("show", "shows", "showing", "depicting", "depicts", "portraying"))
_COUNTED_PARTS = frozenset(
    ("head", "hand", "face", "foot", "arm", "leg", "eye", "ear", "nose", "mouth", "neck")
)
_NOUNY = frozenset(
    ("boards", "slices", "drinks", "plates", "skis", "skates", "watches", "glasses", "parks",
     "plants", "boxes", "tracks", "views", "shots", "covers", "cups", "prints", "shops", "uses",
     "trains", "seats", "floats", "works", "sets", "toasts", "stores", "docks", "bags", "fans",
     "lights", "brushes", "combs", "pans", "lines", "marks", "rocks", "clubs", "phones", "controls")
)  # fmt: skip
_FRAMABLE = frozenset(
    ("picture", "pictures", "photo", "photos", "photograph", "photographs", "image", "images",
     "portrait", "portraits", "snapshot")
)  # fmt: skip
_CARRIED = frozenset(("on", "in", "with", "atop", "aboard", "through", "over", "onto", "into"))
_NOUNLIKE_STOP = lx.CLOSED | lx.DET | lx.POSSESSIVE | lx.PRONOUN | lx.IT | lx.ADVERB


class _Phrase:
    """A noun phrase: what it stands for, its role and its head's position."""

    __slots__ = ("end", "flags", "head", "marked", "role", "stands_for", "start")

    def __init__(self, start: int, head: int, end: int, flags: int, role: str) -> None:
        self.start = start
        self.head = head
        self.end = end
        self.flags = flags
        self.role = role
        self.stands_for = THING
        self.marked: SpanKind | None = None


class Tagger:
    """Tags one caption's words; use through ``tag``."""

    __slots__ = (
        "attributive", "depicts", "doer", "flags", "has_animal", "has_human", "head", "kinds", "last_event",
        "last_form", "opening", "passives", "phrases", "play", "rel", "role", "start", "subject", "words",
    )  # fmt: skip

    def __init__(self, words: Sequence[str], flags: Sequence[int]) -> None:
        self.words = words
        self.flags = flags
        self.kinds: dict[int, SpanKind] = {}
        self.phrases: list[_Phrase] = []
        self.start = -1  # of the open noun phrase, -1 where none is open
        self.head = -1
        self.attributive = -1  # a participle before the head of the open phrase
        self.role = "subject"
        self.subject: _Phrase | None = None
        self.doer: bool = False  # whether the last verb's doer is a person
        self.rel = False
        self.play = False
        self.passives: list[int] = []
        self.last_event = "start"  # start, phrase, verb, prep, conj, sub, be, to, adverb
        self.has_animal = any(f & lx.ANIMAL for f in flags)
        self.has_human = False
        self.opening = True  # nothing but the caption's first phrase so far
        self.depicts = False  # the last verb's subject is a sign, statue or the like
        self.last_form = 0  # readings of the last verb

    def run(self) -> dict[int, SpanKind]:
        """Return the kind of each human word by position."""
        for i, f in enumerate(self.flags):
            if f & lx.CLOSED and self._closed(i, f):
                continue
            if f & (lx.DET | lx.POSSESSIVE):
                self._flush(i)
                self.start = i
            elif f & (lx.PRONOUN | lx.IT):
                self._flush(i)
                self.start, self.head = i, i
                self._flush(i + 1)
            elif f & lx.ING and self._ing(i, f):
                continue
            elif f & lx.FINITE and self._finite(i, f):
                continue
            elif f & lx.ADVERB and not (f & lx.BODY and self._after_possessive(i)):
                if self.head >= 0:
                    self._flush(i)
            elif f & lx.GENITIVE and not self._flag(i + 1) & lx.ING:
                self.start = i if self.start < 0 else self.start
                self.head = -1
            elif f & lx.ADJECTIVE and self.head >= 0 and self._last_noun(i) and not f & lx.PERSON:
                self._flush(i)
            else:
                if self.start < 0:
                    self.start = i
                if not f & lx.ADJECTIVE or self._last_noun(i):
                    self.head = i
        self._flush(len(self.words))
        return self.kinds

    def _flag(self, i: int) -> int:
        return self.flags[i] if 0 <= i < len(self.flags) else lx.PUNCT

    def _last_noun(self, i: int) -> bool:
        """An adjective that ends its phrase is its head ("a man in black", "two blondes")."""
        following = self._flag(i + 1)
        if following & (lx.ING | lx.VERB_S) and not following & lx.ING_NOUN:
            return bool(self.flags[i] & lx.PERSON) or (self.role == "in" and self.start == i)
        return bool(following & _NOUNLIKE_STOP)

    def _after_possessive(self, i: int) -> bool:
        return bool(self._flag(i - 1) & (lx.POSSESSIVE | lx.GENITIVE))

    def _closed(self, i: int, f: int) -> bool:
        """Handle a function word; False where it is not one here ("that" as a determiner)."""
        if f & lx.REL and f & lx.DET and self.head < 0:
            return False
        adjacent = self.head >= 0
        self._flush(i)
        if f & lx.PREP:
            if f & lx.VERB_BASE and self.phrases and self.last_event in ("be", "to"):
                return False
            self.role, self.last_event = self.words[i].lower(), "prep"
            self.opening = self.opening and self.role == "of"
            return True
        if f & (lx.BE | lx.AUX):
            self._auxiliary(i, f, adjacent=adjacent)
        elif f & lx.REL:
            self.rel, self.last_event = True, "rel"
            self.role = "subject"
        elif f & lx.SUB:
            self.role, self.last_event = "sub", "sub"
        elif f & lx.TO and self._word(i - 1) in ("next", "close", "adjacent", "similar", "due"):
            self.role, self.last_event = "to", "prep"
        elif f & lx.TO:
            self.role, self.last_event = "to", "to"
        elif f & lx.CONJ:
            self.role, self.last_event = "conj", "conj"
        elif f & lx.PUNCT:
            if self.words[i] in ".;!?":
                self.subject = None
            self.role, self.last_event = "conj", "conj"
        return True

    def _auxiliary(self, i: int, f: int, *, adjacent: bool) -> None:
        if self.words[i].lower() == "being":
            self.doer = self._nearest(f) if self.last_event != "be" else self.doer
        else:
            self.doer = self._finite_doer(f, adjacent=adjacent)
        self.rel = False
        self.role = "object"
        self.last_event = "be" if f & lx.BE else "aux"

    # Noun phrases

    def _flush(self, end: int) -> None:
        """Close the open noun phrase, if any, and judge what it stands for."""
        if self.start < 0:
            return
        start, head, attributive = self.start, self.head, self.attributive
        self.start = self.head = self.attributive = -1
        if head < 0:
            head = end - 1
            flags = lx.DET
        else:
            flags = self.flags[head]
        phrase = _Phrase(start, head, end, flags, self.role)
        self._judge(phrase, attributive)
        self._attach(phrase)
        self.phrases.append(phrase)
        self.last_event = "phrase"
        self.role = "object"

    def _judge(self, phrase: _Phrase, attributive: int) -> None:
        flags, head = phrase.flags, phrase.head
        if flags & (lx.PERSON | lx.BODY | lx.GROUP) and self._artificial(phrase):
            flags = phrase.flags = lx.ANIMAL
        if flags & lx.BODY and self._human_body(phrase):
            phrase.stands_for = HUMAN
            phrase.marked = "body"
        elif flags & lx.ACTIVITY and self._activity(phrase):
            phrase.marked = "action"
        elif flags & (lx.PERSON | lx.GROUP):
            self._judge_person(phrase)
        elif flags & (lx.PRONOUN | lx.DET):
            animate = self._last_animate()
            if animate is not None:
                phrase.stands_for = animate.stands_for
            elif flags & lx.PRONOUN:
                phrase.stands_for = HUMAN
        elif flags & lx.ANIMAL:
            phrase.stands_for = ANIMATE
        elif flags & lx.VEHICLE:
            phrase.stands_for = VEHICLE
        elif flags & lx.WORN:
            phrase.stands_for = WORN
        elif flags & lx.PLACE:
            phrase.stands_for = PLACE
        if phrase.marked:
            self.kinds[head] = phrase.marked
        if phrase.stands_for == HUMAN and not flags & lx.PRONOUN:
            self.has_human = True
        if attributive >= 0 and phrase.stands_for == HUMAN:
            self.kinds[attributive] = "action"
        self._genitives(phrase)

    def _artificial(self, phrase: _Phrase) -> bool:
        return any(self.flags[j] & lx.ARTIFICIAL for j in range(phrase.start, phrase.head))

    def _judge_person(self, phrase: _Phrase) -> None:
        if phrase.flags & lx.WEAK and self._animal_kin(phrase):
            phrase.stands_for = ANIMATE
            return
        word = self.words[phrase.head].lower()
        if word in ("batter", "batters", "pitcher", "pitchers") and not any(
            f & lx.BALLGAME for f in self.flags
        ):
            return
        phrase.stands_for = HUMAN
        if not (word == "couple" and self._word(phrase.end) == "of"):
            phrase.marked = "person"

    def _genitives(self, phrase: _Phrase) -> None:
        """A person's body ("a man's hand") names the person; "child's toy" does not."""
        for j in range(phrase.start, phrase.head):
            f = self.flags[j]
            if f & lx.GENITIVE and f & lx.PERSON and phrase.flags & lx.BODY:
                self.kinds[j] = "person"

    def _word(self, i: int) -> str:
        return self.words[i].lower() if 0 <= i < len(self.words) else ""

    def _animal_kin(self, phrase: _Phrase) -> bool:
        """Whether a word such as "mother" or "baby" names an animal of the caption."""
        if not self.has_animal:
            return False
        if any(self.flags[j] & lx.ANIMAL for j in range(phrase.start, phrase.head)):
            return True
        before = self.phrases[-1] if self.phrases else None
        if self.flags[phrase.start] & lx.POSSESSIVE or phrase.role in ("conj", "with"):
            owner = self._last_animate()
            return owner is not None and owner.stands_for == ANIMATE and (
                before is owner or self._word(phrase.start) == "its"
            )  # fmt: skip
        if self._word(phrase.end) == "and":
            for j in range(phrase.end + 1, min(phrase.end + 5, len(self.words))):
                f = self.flags[j]
                if f & lx.ANIMAL:
                    return bool(self._flag(j - 1) & lx.WEAK)
                if f & lx.CLOSED:
                    return False
        return False

    def _last_animate(self) -> _Phrase | None:
        for phrase in reversed(self.phrases):
            if phrase.stands_for in (HUMAN, ANIMATE):
                return phrase
        return None

    def _human_body(self, phrase: _Phrase) -> bool:
        first = self.flags[phrase.start]
        for j in range(phrase.start, phrase.head):
            if self.flags[j] & lx.GENITIVE:
                return bool(self.flags[j] & lx.PERSON)
        word = self._word(phrase.head)
        if word in ("back", "bottom", "backs") and not first & lx.POSSESSIVE:
            return False
        if self._word(phrase.start) == "its":
            return False
        if self._flag(phrase.start) & lx.DET and word in ("foot", "feet") and "-" not in word:
            if phrase.start + 1 == phrase.head and self._word(phrase.end) in ("tall", "long", "of"):
                return False
        if phrase.start == phrase.head and not phrase.flags & lx.PLURAL and self.phrases:
            if word in _COUNTED_PARTS and phrase.role not in ("in", "with", "conj"):
                return False  # "over head", "on foot"
        owner = self._last_animate()
        if owner is not None:
            return owner.stands_for == HUMAN
        if first & lx.POSSESSIVE:
            return not any(f & lx.ANIMAL for f in self.flags[: phrase.start])
        return not self.phrases or phrase.role not in ("with", "of", "object")

    def _activity(self, phrase: _Phrase) -> bool:
        if not (self.has_human or any(f & lx.PERSON for f in self.flags)):
            return False
        if phrase.flags & lx.ALWAYS:
            return True
        if phrase.flags & lx.VERBAL:
            return self.doer and phrase.role in ("object", "conj", "for")
        after_of = phrase.role == "of" and self.phrases and self._word(
            self.phrases[-1].head
        ) in ("game", "match", "round", "games", "set")  # fmt: skip
        bare = phrase.start == phrase.head
        return bare and (bool(after_of) or (self.doer and self.play and phrase.role == "object"))

    def _attach(self, phrase: _Phrase) -> None:
        """Relate a finished phrase to what stands before it: of-phrases, by-phrases, subjects."""
        before = self.phrases[-1] if self.phrases else None
        if phrase.role == "of" and before is not None:
            self._of(before, phrase)
        elif phrase.role == "by" and self.passives:
            if phrase.stands_for == HUMAN:
                for i in self.passives:
                    self.kinds[i] = "action"
            self.passives = []
        elif self.depicts and phrase.role == "object":
            self._unmark(phrase)
            phrase.stands_for = DEPICTED
        if phrase.role in ("subject", "sub") or self.subject is None:
            self.subject = phrase
        if phrase.role == "conj" and before is not None and phrase.start - before.end <= 2:
            # "a man and a dog running": one of the doers is a person
            if {phrase.stands_for, before.stands_for} == {HUMAN, ANIMATE}:
                phrase.stands_for = before.stands_for = HUMAN

    def _of(self, before: _Phrase, phrase: _Phrase) -> None:
        if before.stands_for == DEPICTED or before.flags & lx.OPAQUE:
            before.stands_for = DEPICTED
            self._unmark(phrase)
            phrase.stands_for = DEPICTED
            return
        if before.flags & lx.BODY and before.marked and phrase.stands_for != HUMAN:
            self._unmark(before)
        elif before.flags & lx.PHOTO and self._framed(before):
            self._unmark(phrase)
            phrase.stands_for = before.stands_for = DEPICTED
        elif before.flags & (lx.GROUP | lx.WEAK) and phrase.stands_for != HUMAN:
            self._unmark(before)
        if before.stands_for != DEPICTED and not before.flags & lx.BODY:
            if before.stands_for != HUMAN or before.flags & (lx.GROUP | lx.PRONOUN | lx.DET):
                before.stands_for = phrase.stands_for

    def _framed(self, photo: _Phrase) -> bool:
        """Whether "picture of people" is a thing in the caption, not the caption's own photo."""
        if self._word(photo.head) not in _FRAMABLE:
            return False
        tail = " ".join(word.lower() for word in self.words[photo.end :])
        hung = any(
            s in tail for s in ("on the wall", "on a wall", "hanging", "framed", "in a frame")
        )
        return hung or not self.opening

    def _unmark(self, phrase: _Phrase) -> None:
        self.kinds.pop(phrase.head, None)
        for j in range(phrase.start, phrase.head):
            self.kinds.pop(j, None)
        phrase.marked = None
        if phrase.stands_for == HUMAN:
            phrase.stands_for = THING

    # Verbs

    def _ing(self, i: int, f: int) -> bool:
        """Handle a word in -ing; False where it is a noun or opens the phrase to come."""
        following = self._flag(i + 1)
        before_noun = not following & _NOUNLIKE_STOP and not following & lx.ING
        if f & lx.ING_NOUN and not self._noun_doing(i, following):
            return False
        if self.words[i].lower() == "looking" and self._odd_looking(i, before_noun=before_noun):
            return True
        if self.head >= 0:
            self._flush(i)
            self._verb(i, f, self._nearest(f))
            return True
        if self.start >= 0:
            listed = bool(self.phrases) and (
                self._word(i - 1) in ("both", "all", "one", "each")
                or (self.role == "conj" and self._word(i - 1) in ("two", "three", "some"))
            )
            if before_noun and not (listed and not following & (lx.PERSON | lx.ANIMAL)):
                self.attributive = i
                return True
            if self.flags[self.start] & lx.POSSESSIVE or f & lx.ALWAYS:
                return False
            self._flush(i)
            self._verb(i, f, self._nearest(f))
            return True
        return self._bare_ing(i, f, before_noun=before_noun)

    def _odd_looking(self, i: int, *, before_noun: bool) -> bool:
        """Whether "looking" ends an adjective ("an odd looking boat") of the open phrase."""
        animate = self.head >= 0 and self.flags[self.head] & (lx.PERSON | lx.GROUP | lx.ANIMAL)
        return before_noun and self.start >= 0 and not animate

    def _noun_doing(self, i: int, following: int) -> bool:
        if self.last_event == "be" and self.start < 0:
            return True
        if self.head < 0:
            return False
        return bool(self.flags[self.head] & (lx.PERSON | lx.GROUP)) or bool(
            following & (lx.DET | lx.POSSESSIVE)
        )

    def _bare_ing(self, i: int, f: int, *, before_noun: bool) -> bool:
        """A word in -ing with no noun phrase open: a verb, a gerund, or an attribute."""
        following = self._flag(i + 1)
        event = self.last_event
        attributive = before_noun and (
            (event == "prep" and not self._gerund_after())
            or (event in ("start", "conj", "sub") and following & (lx.PERSON | lx.ANIMAL)
                and not f & lx.THING_DOES)
        )  # fmt: skip
        if attributive:
            self.start, self.attributive = i, i
            return True
        if f & lx.ALWAYS and event == "prep":
            return False
        if event == "phrase" or event == "start" or (event == "conj" and not self.doer):
            human = self._nearest(f) if self.phrases else self._word(i) != "looking"
        elif event == "rel":
            human = self._nearest(f)
        elif event in ("prep", "sub"):
            human = self._finite_doer(f, adjacent=False) if self.phrases else False
        else:
            human = self.doer
        self._verb(i, f, human)
        return True

    def _gerund_after(self) -> bool:
        """Whether the preposition just met takes a verb ("by eating pizza", "the act of eating")."""
        if self.role == "of":
            return bool(self.phrases) and self._word(self.phrases[-1].head) in _ACT_OF
        return self.role in _GERUND_PREPS

    def _finite(self, i: int, f: int) -> bool:
        """Handle a word that may be a finite verb or participle; False where it is a noun."""
        event = self.last_event
        following = self._flag(i + 1)
        if f & lx.VERB_BASE and self._word(i + 1) == "of":
            return False
        if self.start >= 0 and self.head < 0:
            if f & lx.VERB_S and self.start == i - 1 and self._word(i - 1) in _PRONOMINAL:
                self._flush(i)
                return self._predicate(i, f)
            if f & lx.VERB_PAST and not f & (lx.PERSON | lx.VERB_BASE):
                return not following & _NOUNLIKE_STOP
            return False
        if self.head >= 0:
            return self._finite_after_noun(i, f)
        if event == "to":
            if not f & lx.VERB_BASE:
                return False
            self._verb(i, f, self.doer or (not self.last_form and self._nearest(0)))
            return True
        if event in ("be", "aux"):
            if f & lx.VERB_PAST:
                self._participle(i, f, human=self.doer, active=event == "aux")
                return True
            if f & lx.VERB_BASE and event == "aux" and not f & lx.VERB_S:
                self._verb(i, f, self.doer)
                return True
            return False
        if event == "prep":
            return False
        if event == "rel" or (event == "phrase" and f & (lx.VERB_S | lx.VERB_PAST)):
            return self._predicate(i, f)
        if event == "phrase":
            before = self._flag(i - 1)
            return self._predicate(i, f) if before & (lx.ADVERB | lx.PRONOUN) else False
        if event == "conj" and self.subject is not None and f & (lx.VERB_S | lx.VERB_PAST):
            parallel = self.last_form & f & (lx.VERB_S | lx.VERB_PAST)
            if not parallel and (f & lx.VERB_PAST or self._word(i) in _NOUNY):
                return False
            return self._predicate(i, f)
        if event == "verb" and self.last_form & lx.LIGHT and f & lx.VERB_PAST:
            return self._predicate(i, f)
        if event == "verb" and f & lx.VERB_S and following & (lx.DET | lx.POSSESSIVE):
            return self._predicate(i, f)  # "a man who is skiing performs a trick"
        if event == "conj" and self.subject is not None and f & lx.VERB_BASE and self.doer:
            if following & (lx.DET | lx.PREP | lx.POSSESSIVE) or self.last_form & lx.VERB_BASE:
                self._verb(i, f, True)
                return True
        return False

    def _finite_after_noun(self, i: int, f: int) -> bool:
        head = self.flags[self.head]
        animate = head & (lx.PERSON | lx.GROUP | lx.ANIMAL | lx.PRONOUN)
        if f & lx.PERSON and not f & (lx.VERB_S | lx.VERB_PAST):
            if not animate or not self._plural_head():
                return False
        bare = self.start == self.head and not head & lx.PLURAL
        if head & lx.BODY and bare and not f & lx.VERB_S:
            return False  # "hand held", "face paint"
        if not animate and self.role != "subject" and self._word(i) in _NOUNY:
            return False
        if self._word(self.head) in _TRAVELLERS and (f & lx.VERB_BASE or self._word(i) in _NOUNY):
            return False
        if bare and self._word(i) == "made":
            return False  # "man made rocks"
        following = self._flag(i + 1)
        if self._word(i) in _ADJECTIVAL and not following & (lx.DET | lx.POSSESSIVE):
            return False
        if f & lx.VERB_BASE and not f & lx.VERB_PAST and not self._plural_head():
            if not animate or head & lx.ANIMAL or not self._flag(i + 1) & (lx.DET | lx.POSSESSIVE | lx.PREP):
                return False
        self._flush(i)
        return self._predicate(i, f)

    def _plural_head(self) -> bool:
        head = self.flags[self.head]
        plural = head & (lx.PLURAL | lx.GROUP | lx.PRONOUN)
        if self.role == "conj" and head & (lx.PERSON | lx.ANIMAL):
            return True
        word = self._word(self.head)
        return bool(plural) or (word.endswith("s") and not word.endswith("ss"))

    def _predicate(self, i: int, f: int) -> bool:
        if f & lx.VERB_PAST and not f & (lx.VERB_BASE | lx.VERB_S):
            human = self._nearest(f) if self.last_event != "conj" else self.doer
            following = self._flag(i + 1)
            active = bool(f & lx.PAST_ONLY) or bool(following & (lx.DET | lx.POSSESSIVE))
            self._participle(i, f, human=human, active=active)
        else:
            human = self.doer if self.last_event == "conj" and self.doer else self._finite_doer(
                f, adjacent=self.last_event == "phrase")  # fmt: skip
            self._verb(i, f, human)
        return True

    def _participle(self, i: int, f: int, *, human: bool, active: bool) -> None:
        if active or (f & lx.POSTURE and human):
            self._verb(i, f, human)
            return
        self.passives.append(i)
        self.doer = human
        self.rel = self.play = False
        self.role, self.last_event = "object", "verb"

    def _verb(self, i: int, f: int, human: bool) -> None:
        if human and not self._light(i, f):
            self.kinds[i] = "action"
        self.depicts = self._depicting(i)
        self.doer = human
        self.last_form = f
        self.opening = False
        self.passives = []
        self.rel = False
        self.play = self.words[i].lower().startswith(("play", "enjoy", "practic", "watch"))
        self.role, self.last_event = "object", "verb"

    def _light(self, i: int, f: int) -> bool:
        """Whether the verb only helps another ("getting ready to serve", "preparing to jump")."""
        following = self._word(i + 1)
        if f & lx.LIGHT:
            return not (self._word(i) in _GETTING and following in _ONTO)
        return following == "to" and self._word(i) in _PREPARING

    def _depicting(self, i: int) -> bool:
        subject = self.phrases[-1] if self.phrases else None
        showing = self._word(i) in _SHOWING
        return showing and subject is not None and bool(subject.flags & lx.OPAQUE)

    # Doers

    def _finite_doer(self, f: int, *, adjacent: bool) -> bool:
        """Whether a person is the subject of a finite verb."""
        if self.rel:
            return self._nearest(f)
        if not self.phrases:
            return False
        last = self.phrases[-1]
        listed = last.role == "conj" and (
            last.stands_for == WORN or not self.flags[last.start] & (lx.DET | lx.PRONOUN)
        )
        if adjacent and last.role in ("subject", "sub", "conj", "object"):
            if listed and last.stands_for not in (HUMAN, ANIMATE):
                pass
            elif last.role != "object" or last.stands_for in (HUMAN, ANIMATE):
                self.subject = last
                return last.stands_for == HUMAN
        subject = self.subject
        if subject is None or (subject.flags & lx.IT and len(self.phrases) > 1):
            return self._nearest(f)
        return subject.stands_for == HUMAN

    def _nearest(self, f: int) -> bool:
        """Whether the phrase that a participle or relative clause belongs to is a person."""
        moves, thing = f & lx.MOVES, f & lx.THING_DOES
        for phrase in reversed(self.phrases):
            what = phrase.stands_for
            if phrase.role == "of" and what in (THING, VEHICLE):
                continue  # its phrase before stands for the same
            if what == HUMAN:
                return True
            riding = phrase.role in ("on", "atop") and not (moves or thing)
            if what in (WORN, PLACE) or (what == ANIMATE and riding):
                continue
            if what in (ANIMATE, DEPICTED):
                return False
            if thing and phrase.role != "object":
                return False
            if f & lx.AIRBORNE and phrase.role == "with" and what == VEHICLE:
                return False
            if moves and phrase.role not in _CARRIED and phrase.role not in ("object", "conj"):
                return False
        return False


def tag(words: Sequence[str], flags: Sequence[int]) -> dict[int, SpanKind]:
    """Return the kinds of the human words of a caption by word position.

    ``flags`` are the words' readings (``hcp.lexicon.readings``), one for each word.
    """
    return Tagger(words, flags).run()
