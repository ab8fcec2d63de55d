"""What people's votes on a compare page say: how often b wins, and how far to believe it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Literal

from hcp.evaluation.agreement import binomial_p, krippendorff_alpha, same_share
from hcp.evaluation.ballots import Ballot, Refused, Vote
from hcp.evaluation.compare_key import CompareKey, PairKey, VotesError
from hcp.evaluation.interval import Interval
from hcp.evaluation.win_rate import Rate, Scored, SignTest, sign_test, win_rate

Outcome = Literal["a", "b", "tie", "cannot_say"]
SCORES: Mapping[Outcome, float] = {"b": 1.0, "tie": 0.5, "a": 0.0}
"""Of a vote for b; who cannot say gives none."""
OUTCOMES: tuple[Outcome, ...] = (*SCORES, "cannot_say")
MIN_RATERS = 2  # whose agreement can be told


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """So many of so many; ``p`` that a fair coin is as far from a half, where that is asked."""

    count: int
    of: int
    p: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rater:
    """One rater's votes and what they tell about the rater."""

    name: str
    file: str
    votes: Mapping[Outcome, int]
    win_rate: float | None  # of b, ties as halves
    consistency: Share  # repeated pairs that were answered alike
    left: Share  # of the choices of one of two pictures, those of the left one
    checks: Share  # attention checks in which the intact picture was chosen
    seconds: float | None  # median of a vote
    complete: bool  # every pair was answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """All raters' votes on the pairs of one prompt."""

    prompt: str
    votes: Mapping[Outcome, int]
    win_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteReport:
    """Everything that the votes on one page say, as plain data."""

    page: str
    question: str
    a: str
    b: str
    unit: Literal["prompts", "pairs"]  # what is resampled beside the raters, and has one sign
    n_units: int
    n_pairs: int  # that were voted on, without checks
    votes: Mapping[Outcome, int]  # first showings: neither repeats nor checks
    win_rate: Rate  # of b over a, ties as halves
    win_rate_without_ties: Rate | None
    sign_test: SignTest
    agreement: Interval | None  # Krippendorff's alpha over b, tie and a
    same_votes: float | None  # of pairs of raters on one pair, those who said the same
    consistency: Share
    left: Share
    seconds: float | None  # median of a vote
    raters: tuple[Rater, ...]
    prompts: tuple[Prompt, ...]  # those in which b wins least first
    not_measured: Mapping[str, str]
    refused: tuple[Refused, ...]

    def to_json(self) -> dict[str, object]:
        """As plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The votes that count, as what they say about a and b: of each rater, by the pair's id."""

    pairs: Mapping[str, PairKey]
    by_rater: Sequence[Mapping[str, Outcome]]

    @property
    def unit(self) -> Literal["prompts", "pairs"]:
        prompts = {self.pairs[pair].prompt for votes in self.by_rater for pair in votes}
        return "prompts" if len(prompts) > 1 else "pairs"

    def scored(self, *, ties: bool = True) -> list[Scored]:
        by_prompt = self.unit == "prompts"
        return [
            Scored(group=(by_prompt and self.pairs[pair].prompt) or pair, rater=rater,
                   score=SCORES[outcome])
            for rater, votes in enumerate(self.by_rater)
            for pair, outcome in votes.items()
            if outcome in SCORES and (ties or outcome != "tie")
        ]  # fmt: skip

    def outcomes(self, *, prompt: str | None = None) -> Counter[Outcome]:
        return Counter(
            outcome
            for votes in self.by_rater
            for pair, outcome in votes.items()
            if prompt is None or self.pairs[pair].prompt == prompt
        )

    def table(self) -> list[list[int]]:
        """Of each pair how many raters said b, tie, a."""
        said: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)
        for votes in self.by_rater:
            for pair, outcome in votes.items():
                said[pair][outcome] += 1
        return [[said[pair][outcome] for outcome in SCORES] for pair in sorted(said)]


def count_votes(
    key: CompareKey,
    ballots: Sequence[Ballot],
    *,
    refused: Sequence[Refused] = (),
    level: float = 0.95,
    n_resamples: int = 2000,
) -> VoteReport:
    """The report on one page's ballots; what cannot be measured is None, with its reason.

    A pair counts once for each rater, as it was first shown. Its repeat tells only whether the
    rater says the same again, an attention check only whether the rater looks.

    Raises:
        VotesError: no vote says anything about a and b.
    """
    pairs = {pair.id: pair for pair in key.pairs}
    counted = _Counted(pairs, [_first_votes(ballot, pairs) for ballot in ballots])
    scored = counted.scored()
    rate = win_rate(scored, level=level, n_resamples=n_resamples)
    if rate is None:
        raise VotesError(_why_no_votes(ballots, refused))
    decided = counted.scored(ties=False)
    agreement = krippendorff_alpha(counted.table(), level=level, n_resamples=n_resamples)
    raters = [
        _rater(ballot, votes, pairs)
        for ballot, votes in zip(ballots, counted.by_rater, strict=True)
    ]
    left = _total(rater.left for rater in raters)
    return VoteReport(
        page=key.page, question=key.question, a=key.a, b=key.b,
        unit=counted.unit,
        n_units=len({vote.group for vote in scored}),
        n_pairs=len(counted.table()),
        votes=_all(counted.outcomes()),
        win_rate=rate,
        win_rate_without_ties=win_rate(decided, level=level, n_resamples=n_resamples),
        sign_test=sign_test(scored),
        agreement=agreement,
        same_votes=same_share(counted.table()),
        consistency=_total(rater.consistency for rater in raters),
        left=Share(count=left.count, of=left.of, p=binomial_p(left.count, left.of)),
        seconds=_seconds(vote for ballot in ballots for vote in ballot.votes),
        raters=tuple(raters),
        prompts=_prompts(counted),
        not_measured=_not_measured(counted, rate, decided=len(decided), agreement=agreement),
        refused=tuple(refused),
    )  # fmt: skip


def _first_votes(ballot: Ballot, pairs: Mapping[str, PairKey]) -> dict[str, Outcome]:
    return {
        vote.pair: _outcome(vote, pairs[vote.pair])
        for vote in ballot.votes
        if not vote.repeat and pairs[vote.pair].intact is None
    }


def _outcome(vote: Vote, pair: PairKey) -> Outcome:
    if vote.choice == "tie" or vote.choice == "cannot_say":
        return vote.choice
    return "b" if vote.choice == pair.b else "a"


def _rater(ballot: Ballot, votes: Mapping[str, Outcome], pairs: Mapping[str, PairKey]) -> Rater:
    scores = [SCORES[outcome] for outcome in votes.values() if outcome in SCORES]
    sides = [v for v in ballot.votes if v.pair in votes and not v.repeat and v.choice in _PLACES]
    checks = [v for v in ballot.votes if pairs[v.pair].intact is not None and not v.repeat]
    again = [
        _outcome(vote, pairs[vote.pair]) == votes[vote.pair]
        for vote in ballot.votes
        if vote.repeat and vote.pair in votes
    ]
    return Rater(
        name=ballot.rater,
        file=ballot.file,
        votes=_all(Counter(votes.values())),
        win_rate=sum(scores) / len(scores) if scores else None,
        consistency=Share(count=sum(again), of=len(again)),
        left=Share(count=sum(vote.choice == vote.left for vote in sides), of=len(sides)),
        checks=Share(
            count=sum(vote.choice == pairs[vote.pair].intact for vote in checks), of=len(checks)
        ),
        seconds=_seconds(ballot.votes),
        complete=ballot.complete,
    )


_PLACES = ("first", "second")


def _prompts(counted: _Counted) -> tuple[Prompt, ...]:
    names = {counted.pairs[pair].prompt for votes in counted.by_rater for pair in votes}
    rows: list[tuple[float, Prompt]] = []
    for name in names:
        votes = counted.outcomes(prompt=name)
        n = sum(votes[outcome] for outcome in SCORES)
        rate = sum(SCORES[outcome] * votes[outcome] for outcome in SCORES) / n if n else None
        row = Prompt(prompt=name, votes=_all(votes), win_rate=rate)
        rows.append((2.0 if rate is None else rate, row))
    return tuple(row for _, row in sorted(rows, key=lambda each: (each[0], each[1].prompt)))


def _not_measured(
    counted: _Counted, rate: Rate, *, decided: int, agreement: Interval | None
) -> dict[str, str]:
    missing: dict[str, str] = {}
    if rate.low is None:
        missing["interval"] = "one rater voted on one pair: more of either are needed"
    elif len(counted.by_rater) < MIN_RATERS:
        missing["raters"] = (
            "one rater: the interval is over the prompts, and says nothing of other people"
        )
    if not decided:
        missing["win_rate_without_ties"] = "every vote is a tie"
    if agreement is None:
        n, same = len(counted.by_rater), same_share(counted.table())
        missing["agreement"] = (
            f"of {n} raters no two voted on the same pair; {MIN_RATERS} who did are needed"
            if same is None
            else "all votes are the same, which agreement by chance cannot be told from"
        )
    return missing


def _why_no_votes(ballots: Sequence[Ballot], refused: Sequence[Refused]) -> str:
    reasons = "".join(f"\n  {each.file}: {each.reason}" for each in refused)
    if not ballots:
        return f"no votes: none of the {len(refused)} files can be counted{reasons}"
    return (
        f"no votes: {len(ballots)} raters, none of whom chose a picture or a tie in any pair but "
        f"attention checks{reasons}"
    )


def _all(votes: Mapping[Outcome, int]) -> dict[Outcome, int]:
    return {outcome: votes.get(outcome, 0) for outcome in OUTCOMES}


def _total(shares: Iterable[Share]) -> Share:
    each = list(shares)
    return Share(count=sum(share.count for share in each), of=sum(share.of for share in each))


def _seconds(votes: Iterable[Vote]) -> float | None:
    known = [vote.seconds for vote in votes if vote.seconds is not None]
    return median(known) if known else None
