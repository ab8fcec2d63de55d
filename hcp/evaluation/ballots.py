"""Files of votes: read, checked against the page's key, one ballot for each rater."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hcp.evaluation.compare_key import (
    PLACES,
    CompareKey,
    Place,
    VotesError,
    check_votes_format,
    json_object,
)

Choice = Literal["first", "second", "tie", "cannot_say"]
CHOICES = (*PLACES, "tie", "cannot_say")
MAX_SECONDS = 24 * 3600.0  # of one vote; a broken clock gives more


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one rater said of one pair."""

    pair: str  # its id
    choice: Choice  # as places of the page's file
    left: Place  # what was shown on the left (on a narrow screen: above)
    repeat: bool  # the pair's second showing, with its sides swapped
    seconds: float | None  # until the vote; None: not recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """All votes of one rater."""

    file: str
    rater: str
    seed: str  # that the page drew for this rater: order and sides follow from it
    votes: tuple[Vote, ...]
    complete: bool  # every pair was answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A file of votes that does not count, and why."""

    file: str
    reason: str


def collect_ballots(
    files: Iterable[tuple[str, bytes | OSError]], key: CompareKey
) -> tuple[list[Ballot], list[Refused]]:
    """The ballots of those files that hold good ones, and the others with their reasons.

    A rater counts once: of one session's files that with the most votes, of several sessions
    under one name the first file's.

    Args:
        files: name and bytes, or why they cannot be read.
    """
    ballots: list[Ballot] = []
    refused: list[Refused] = []
    for name, data in files:
        try:
            if isinstance(data, OSError):
                raise VotesError(f"{name}: the file cannot be read: {data.strerror or data}")
            new = read_ballot(data, name, key)
        except VotesError as error:
            refused.append(Refused(file=name, reason=str(error).removeprefix(f"{name}: ")))
            continue
        known = next((each for each in ballots if _same_rater(each, new)), None)
        if known is None:
            ballots.append(new)
            continue
        kept, other, reason = _one_of(known, new)
        ballots[ballots.index(known)] = kept
        refused.append(Refused(file=other.file, reason=reason))
    return ballots, refused


def read_ballot(data: bytes, name: str, key: CompareKey) -> Ballot:
    """One rater's votes on the key's page.

    Raises:
        VotesError: the file holds something else, or votes on another page.
    """
    found = json_object(data, name)
    check_votes_format(found, name)
    if (page := found.get("page")) != key.page:
        raise VotesError(
            f"{name}: these are votes on another page: got page {page!r}, expected {key.page!r}, "
            "which the key is of; give the key that lies beside the page they voted on"
        )
    rows: Any = found.get("votes")
    if not isinstance(rows, list) or not rows:
        raise VotesError(f"{name}: expected votes, got none; the rater opened the page only")
    pairs = frozenset(pair.id for pair in key.pairs)
    try:
        votes = tuple(_vote(row, pairs) for row in rows)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise VotesError(f"{name}: a vote is damaged: {what}") from error
    if len({(vote.pair, vote.repeat) for vote in votes}) < len(votes):
        raise VotesError(f"{name}: a pair was voted on more often than it was shown")
    rater = str(found.get("rater") or "").strip()
    seed = str(found.get("seed"))
    complete = found.get("complete") is True
    return Ballot(file=name, rater=rater or f"rater {seed}", seed=seed, votes=votes,
                  complete=complete)  # fmt: skip


def _vote(row: Mapping[str, Any], pairs: frozenset[str]) -> Vote:
    pair, choice, left = row["pair"], row["choice"], row["left"]
    if pair not in pairs:
        raise ValueError(f"the page has no pair {pair!r}")
    if choice not in CHOICES or left not in PLACES:
        raise ValueError(f"expected a choice of {', '.join(CHOICES)}, got {choice!r}, {left!r}")
    ms: Any = row.get("ms")
    known = isinstance(ms, int | float) and 0 <= ms <= 1000 * MAX_SECONDS
    return Vote(pair=pair, choice=choice, left=left, repeat=row.get("repeat") is True,
                seconds=ms / 1000 if known else None)  # fmt: skip


def _same_rater(one: Ballot, other: Ballot) -> bool:
    return one.seed == other.seed or one.rater.casefold() == other.rater.casefold()


def _one_of(known: Ballot, new: Ballot) -> tuple[Ballot, Ballot, str]:
    """The ballot that counts, the one that does not, and why."""
    if known.seed != new.seed:
        return known, new, (
            f"rater {new.rater!r} voted in {known.file} already, and a rater counts once; for "
            "two people of one name, write another name into this file's field \"rater\""
        )  # fmt: skip
    more, less = (new, known) if len(new.votes) > len(known.votes) else (known, new)
    return more, less, (
        f"of the same sitting as {more.file}, which has {len(more.votes)} votes to the "
        f"{len(less.votes)} here"
    )  # fmt: skip
