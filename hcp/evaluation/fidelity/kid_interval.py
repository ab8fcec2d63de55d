"""How far a difference of two models' KID may be trusted: the paired bootstrap over prompts.

Features are computed once for each model; a resample only weighs the sums of their kernel.

Dimension legend: N pictures, M photos, D features, G groups (prompts), R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.fidelity.distances import (
    Features,
    kernel_of_itself,
    mean_of_pairs,
    polynomial_kernel,
    row_blocks,
)
from hcp.evaluation.interval import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class KidSums:
    """The kernel of one model's pictures, summed by groups; the photos' own part is a constant."""

    within: NDArray[np.float64]  # [G, G], pairs of two different pictures
    pairs: NDArray[np.float64]  # [G, G], how many those are
    between: NDArray[np.float64]  # [G], mean over the photos, summed over the group's pictures
    counts: NDArray[np.float64]  # [G] pictures
    photos: float  # mean over pairs of two different photos

    @classmethod
    def of(
        cls, pictures: Features, photos: Features, *, groups: Sequence[int], n_groups: int
    ) -> "KidSums":
        """From features [N, D] and [M, D]; ``groups``: of each picture, below ``n_groups``."""
        ours, real = np.asarray(pictures, np.float64), np.asarray(photos, np.float64)
        member = np.zeros((len(ours), n_groups))
        member[np.arange(len(ours)), list(groups)] = 1.0
        counts = member.sum(axis=0)
        within = np.zeros((n_groups, n_groups))
        between = np.zeros(n_groups)
        for rows in row_blocks(len(ours)):
            within += member[rows].T @ polynomial_kernel(ours[rows], ours) @ member
            between += member[rows].T @ polynomial_kernel(ours[rows], real).mean(axis=1)
        return cls(
            within=within - np.diag(member.T @ kernel_of_itself(ours)),
            pairs=np.outer(counts, counts) - np.diag(counts),
            between=between,
            counts=counts,
            photos=mean_of_pairs(real),
        )

    def kid(self, weights: NDArray[np.floating] | None = None) -> NDArray[np.float64]:
        """KID for each resample, [R].

        Args:
            weights: [R, G], how often each resample draws each group; None: each group once.
                Copies of a group count as groups of their own, but are not paired with each other,
                so that no picture is paired with itself. nan where no pair is left.
        """
        drawn = np.ones((1, len(self.counts))) if weights is None else np.asarray(weights, float)
        own, n_own = (np.diagonal(each) for each in (self.within, self.pairs))
        other, n_other = (each - np.diag(np.diagonal(each)) for each in (self.within, self.pairs))
        sums = ((drawn @ other) * drawn).sum(axis=1) + drawn @ own
        n_pairs = ((drawn @ n_other) * drawn).sum(axis=1) + drawn @ n_own
        within = np.full(len(drawn), np.nan)
        np.divide(sums, n_pairs, out=within, where=n_pairs > 0)
        between = drawn @ self.between / np.maximum(drawn @ self.counts, 1.0)
        return within + self.photos - 2.0 * between


@dataclass(frozen=True, slots=True, kw_only=True)
class KidDifference:
    """One model's KID minus another's, times one."""

    difference: Interval
    relative: Interval | None  # share of the other's KID; None where that is not clearly above 0


def kid_interval(
    ours: KidSums,
    theirs: KidSums,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> KidDifference:
    """Percentile-bootstrap interval of ``ours - theirs``; both have the same groups.

    Whole prompts are drawn, for both models the same ones; the photos stay as they are, so the
    interval says what other prompts would give, not what other photos would.

    Raises:
        ValueError: the groups differ, or none has pictures of both.
    """
    if ours.counts.shape != theirs.counts.shape or not (ours.counts * theirs.counts).any():
        raise ValueError(
            "kid_interval needs pictures of the same prompts, got "
            f"{int((ours.counts > 0).sum())} prompts of {len(ours.counts)} and "
            f"{int((theirs.counts > 0).sum())} of {len(theirs.counts)}"
        )
    some = np.flatnonzero(ours.counts + theirs.counts)
    draws = np.random.default_rng(seed).multinomial(
        len(some), np.full(len(some), 1 / len(some)), size=n_resamples
    )
    weights = np.zeros((n_resamples, len(ours.counts)))
    weights[:, some] = draws
    values, others = ours.kid(weights), theirs.kid(weights)
    ends = [(1 - level) / 2, (1 + level) / 2]
    mean, base = float((ours.kid() - theirs.kid())[0]), float(theirs.kid()[0])

    def interval(centre: float, resampled: NDArray[np.float64]) -> Interval:
        low, high = np.nanquantile(resampled, ends)
        return Interval(mean=centre, low=float(low), high=float(high), n=len(some))

    above_zero = base > 0 and np.nanquantile(others, ends[0]) > 0
    return KidDifference(
        difference=interval(mean, values - others),
        relative=interval(mean / base, (values - others) / others) if above_zero else None,
    )
