"""How often b wins in people's votes, with an interval over prompts and raters, and a sign test.

Dimension legend: D resamples, G groups (prompts), R raters.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hcp.evaluation.agreement import binomial_p


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One vote as a number."""

    group: str  # the prompt
    rater: int
    score: float  # for b: 1, or 0, or a half for a tie


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A mean over votes; no interval where one prompt and one rater are all there is."""

    mean: float
    low: float | None
    high: float | None
    votes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignTest:
    """Whole groups as one sign each: more for b, more for a, or even; exact and two-sided."""

    b: int
    a: int
    even: int
    p: float


def win_rate(
    votes: Sequence[Scored], *, level: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> Rate | None:
    """The mean score with its percentile-bootstrap interval; None without votes.

    Votes on one prompt resemble each other, and so do those of one rater: both are resampled, each
    on its own (Owen 2007, "The pigeonhole bootstrap": somewhat too wide rather than too narrow).
    With one rater the interval is over prompts alone, and says nothing of other people.
    """
    if not votes:
        return None
    _, groups = np.unique([vote.group for vote in votes], return_inverse=True)
    _, raters = np.unique([vote.rater for vote in votes], return_inverse=True)
    shape = (int(groups.max()) + 1, int(raters.max()) + 1)
    totals_GR, counts_GR = np.zeros(shape), np.zeros(shape)
    np.add.at(totals_GR, (groups, raters), [vote.score for vote in votes])
    np.add.at(counts_GR, (groups, raters), 1.0)
    mean = float(totals_GR.sum() / counts_GR.sum())
    if shape == (1, 1):
        return Rate(mean=mean, low=None, high=None, votes=len(votes))
    draws_DG, draws_DR = (
        np.random.default_rng([seed, axis]).multinomial(n, np.full(n, 1 / n), n_resamples)
        for axis, n in enumerate(shape)
    )
    totals = ((draws_DG @ totals_GR) * draws_DR).sum(axis=1)
    counts = ((draws_DG @ counts_GR) * draws_DR).sum(axis=1)
    known = counts > 0  # a draw may meet no vote where few raters saw few prompts
    low, high = np.quantile(totals[known] / counts[known], [(1 - level) / 2, (1 + level) / 2])
    return Rate(mean=mean, low=float(low), high=float(high), votes=len(votes))


def sign_test(votes: Sequence[Scored]) -> SignTest:
    """Whether more groups lean to b than a fair coin would give."""
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for vote in votes:
        scores[vote.group].append(vote.score - 0.5)
    leans = [sum(each) for each in scores.values()]
    b, a = sum(lean > 0 for lean in leans), sum(lean < 0 for lean in leans)
    return SignTest(b=b, a=a, even=len(leans) - a - b, p=binomial_p(b, a + b))
