"""How many people a caption asks for, by the parse that finds its human words."""

from collections.abc import Iterator, Sequence

from hcp.tokens import lexicon as lx
from hcp.tokens.phrases import Phrase, Phrases
from hcp.tokens.spans import parse_caption


def expected_people(prompt: str) -> int | None:
    """How many people the prompt asks for: 0 without human words, None where it does not say.

    Each person word counts the number in its noun phrase ("two young dancers"), 1 if it is
    singular; a group counts once ("a couple of dancers", "a group of three men"). "people", "a
    group of women" or a prompt with an action and no person word: None.
    """
    parsed = parse_caption(prompt)
    if parsed is None:
        return 0
    counts = list(_counts(parsed))
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _counts(parsed: Phrases) -> Iterator[int | None]:
    inside = False  # the phrase is what the group before it is made of
    for phrase, following in zip(parsed.met, [*parsed.met[1:], None], strict=True):
        members = None if inside else _members(parsed, phrase, following)
        places = range(phrase.start, phrase.head + 1)
        people = [i for i in places if parsed.kinds.get(i) == "person"]
        if members is not None:
            if people or parsed.kinds.get(members.head) == "person":
                yield _size(parsed, phrase, members)
        elif not inside:
            yield from (_number(parsed, phrase, i) for i in people)
        inside = members is not None


def _members(parsed: Phrases, phrase: Phrase, following: Phrase | None) -> Phrase | None:
    """The people of "a group of people" or "a pair of women"; not those of "two of the men"."""
    if following is None or following.role != "of" or following.start != phrase.end + 1:
        return None
    counts = lx.number_of(parsed.words[phrase.head]) and not phrase.flags & lx.DET
    return following if counts or phrase.flags & lx.GROUP else None


def _size(parsed: Phrases, group: Phrase, members: Phrase) -> int | None:
    own = _number(parsed, group, group.head) if lx.number_of(parsed.words[group.head]) else None
    if own is not None:
        return own
    inner = _last_number(parsed.words[members.start : members.head + 1])
    return inner if group.flags & lx.GROUP and inner != 1 else None


def _number(parsed: Phrases, phrase: Phrase, i: int) -> int | None:
    """How many people word ``i`` of a phrase stands for."""
    word, flags = parsed.words[i].removesuffix("'s"), parsed.flags[i]
    before = _last_number(parsed.words[_start(parsed, phrase) : i])
    singular = word.removesuffix("s") if flags & lx.GROUP else word
    digits = word[: len(word) - len(word.lstrip("0123456789"))]  # "2girls"
    own = lx.number_of(digits or singular)
    if flags & lx.GROUP and (own or word != singular):
        return own and own * (before or 1)  # two couples are four, two teams unknown
    if flags & lx.GROUP or _is_plural(word, flags):
        return before if before is not None and before > 1 else own
    return own or before or 1


def _start(parsed: Phrases, phrase: Phrase) -> int:
    # "two bikini clad women": the number opened a phrase that the participle ended
    participle = parsed.flags[phrase.start - 1] & lx.VERB_PAST if phrase.start else 0
    opened = next((p for p in parsed.met if p.end == phrase.start - 1), None)
    if not participle or opened is None or _is_plural(parsed.words[opened.head], opened.flags):
        return phrase.start
    return opened.start


def _is_plural(word: str, flags: int) -> bool:
    return bool(flags & lx.PLURAL) or (word.endswith("s") and not word.endswith("ss"))


def _last_number(words: Sequence[str]) -> int | None:
    numbers = (lx.number_of(word) for word in reversed(words))
    return next((number for number in numbers if number is not None), None)
