"""A mean difference and how far it may be trusted: the paired bootstrap.

Over prompts, where one model is compared; over training seeds and prompts, where a method is. Every
prompt is drawn by the models of all training seeds, so the two are crossed and each is resampled on
its own (Owen 2007, The pigeonhole bootstrap; its intervals are somewhat too wide, never too narrow
by design). With S seeds a resample's mean over seeds varies too little by (S - 1) / S, which is
much at S = 3: the seeds' weights are stretched by sqrt(S / (S - 1)) about their mean. That mends
the variance, not its uncertainty: where training seeds differ more than prompts do, three of them
still give an interval that is too short.

Dimension legend: R resamples, S training seeds, N pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int  # resampled units (prompts)


def paired_interval(
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    groups: Sequence[int],
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile-bootstrap interval of the mean paired difference `ours - theirs`.

    Images of one prompt resemble each other, so whole groups (prompts) are resampled.

    Raises:
        ValueError: lengths differ or there is nothing to compare.
    """
    if not len(ours) == len(theirs) == len(groups) or not len(ours):
        raise ValueError(
            f"paired_interval needs equal, non-zero lengths, got {len(ours)}, {len(theirs)}, "
            f"{len(groups)}"
        )
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    totals, counts = np.bincount(index, weights=difference), np.bincount(index)
    draws = np.random.default_rng(seed).integers(len(counts), size=(n_resamples, len(counts)))
    means = totals[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(difference.mean()), low=float(low), high=float(high), n=len(counts))


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """The mean of what was measured; None where nothing was."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resamples:
    """How much each training seed and each picture counts; row 0 is the data as they are.

    Figures that are computed from the same rows are paired: subtract or divide them before
    ``interval_of``.
    """

    seeds: Floats  # [1 + R, S], rows of sum 1
    pictures: Floats  # [1 + R, N], those of one prompt alike

    def over_seeds(self, figures: Floats) -> Floats:
        """[1 + R, S] figures of each seed's model to [1 + R]; [1 + R, 1], of no training, as is."""
        if figures.shape[1] == 1:
            return figures[:, 0]
        return (self.seeds * figures).sum(axis=1)

    def means(self, values: Floats) -> Floats:
        """The mean over pictures, then seeds, in each resample, [1 + R].

        Args:
            values: [S, N] or, without training seeds, [1, N]; NaN where nothing was measured. A
                resample in which a seed has no value at all is NaN.
        """
        known = ~np.isnan(values)
        totals = self.pictures @ np.where(known, values, 0.0).T
        counts = self.pictures @ known.astype(np.float64).T
        figures = np.full_like(totals, np.nan)
        return self.over_seeds(np.divide(totals, counts, out=figures, where=counts > 0))


def resamples(
    n_seeds: int, groups: Sequence[int], *, n_resamples: int = 2000, seed: int = 0
) -> Resamples:
    """Draws of training seeds and of prompts, independent of each other.

    Args:
        n_seeds: S; 1 leaves the intervals to the prompts alone.
        groups: of each picture its prompt.
    Raises:
        ValueError: no seed or no picture.
    """
    if n_seeds < 1 or not len(groups):
        raise ValueError(f"resamples needs seeds and pictures, got {n_seeds} and {len(groups)}")
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = int(index.max()) + 1
    rng_prompts, rng_seeds = (np.random.default_rng([seed, i]) for i in range(2))
    counts = rng_prompts.multinomial(n_groups, np.full(n_groups, 1 / n_groups), n_resamples)
    pictures = np.concatenate([np.ones((1, n_groups)), counts.astype(np.float64)])[:, index]
    drawn = rng_seeds.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), n_resamples) / n_seeds
    stretch = (n_seeds / (n_seeds - 1)) ** 0.5 if n_seeds > 1 else 1.0
    weights = 1 / n_seeds + stretch * (drawn - 1 / n_seeds)
    seeds = np.concatenate([np.full((1, n_seeds), 1 / n_seeds), weights])
    return Resamples(seeds=seeds, pictures=pictures)


def interval_of(figures: Floats, *, n: int, level: float = 0.95) -> Interval:
    """The figure of row 0 with the percentiles of the others, [1 + R]; NaN rows are left out.

    Raises:
        ValueError: row 0 is not a number: nothing was measured.
    """
    if np.isnan(figures[0]):
        raise ValueError("interval_of: the figure of the data themselves is not a number")
    low, high = np.nanquantile(figures[1:], [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(figures[0]), low=float(low), high=float(high), n=n)


def hierarchical_interval(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    *,
    groups: Sequence[int],
    level: float = 0.95,
    n_resamples: int = 2000,
) -> Interval:
    """Interval of the mean paired difference ``ours - theirs`` over training seeds and prompts.

    Args:
        ours: [S, N], one row for the model of each training seed.
        theirs: [S, N] of the same training seeds, or [1, N] of a model that was not trained.
        groups: of each picture its prompt.
    Raises:
        ValueError: the shapes do not fit.
    """
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if a.ndim != 2 or b.shape not in (a.shape, (1, a.shape[1])) or a.shape[1] != len(groups):
        raise ValueError(
            f"hierarchical_interval needs [S, N], [S, N] or [1, N], and N groups, got {a.shape}, "
            f"{b.shape} and {len(groups)}"
        )
    drawn = resamples(len(a), groups, n_resamples=n_resamples)
    return interval_of(drawn.means(a - b), n=len(set(groups)), level=level)
