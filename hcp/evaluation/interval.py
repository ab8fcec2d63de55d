"""A mean difference and how far it may be trusted: the paired bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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
