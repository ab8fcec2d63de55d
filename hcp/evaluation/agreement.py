"""Do raters agree beyond chance, and is a share more than a coin's?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.interval import Interval

Counts = Sequence[Sequence[int]] | NDArray[np.int64]
"""[units, categories]: how many raters chose each category."""


def krippendorff_alpha(
    counts: Counts,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> Interval | None:
    """Krippendorff's alpha for categories, with missing values; its interval over units.

    1 is full agreement, 0 that of chance. Source: K. Krippendorff, "Computing Krippendorff's
    alpha-reliability" (2011), nominal metric. The interval is a bootstrap over units: ours.

    Args:
        counts: units that fewer than two rated say nothing and are left out.
    Returns:
        None where alpha is undefined: no unit was rated twice, or all ratings are the same.
    """
    table = _table(counts)
    table = table[table.sum(axis=1) >= 2]
    rated = table.sum(axis=1, keepdims=True)
    # Per unit, pairs of ratings that differ: each rating weighs 1 / (raters - 1).
    differ = (table * (rated - table) / (rated - 1)).sum(axis=1)
    alpha = _alpha(table.sum(axis=0)[None], differ.sum()[None])[0]
    if not np.isfinite(alpha):
        return None
    draws = np.random.default_rng(seed).multinomial(
        len(table), np.full(len(table), 1 / len(table)), size=n_resamples
    )
    resampled = _alpha(draws @ table, draws @ differ)
    # A draw in which all ratings are the same has no alpha.
    low, high = np.nanquantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=float(alpha), low=float(low), high=float(high), n=len(table))


def _alpha(totals: NDArray[np.float64], differ: NDArray[np.float64]) -> NDArray[np.float64]:
    n = totals.sum(axis=1)
    by_chance = (totals * (n[:, None] - totals)).sum(axis=1)  # ordered pairs that differ
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(by_chance > 0, 1 - (n - 1) * differ / by_chance, np.nan)


def same_share(counts: Counts) -> float | None:
    """Of all pairs of raters who rated the same unit, the share that chose the same category."""
    table = _table(counts)
    pairs = (table.sum(axis=1) * (table.sum(axis=1) - 1)).sum()
    return float((table * (table - 1)).sum() / pairs) if pairs else None


def binomial_p(successes: int, trials: int) -> float:
    """Two-sided exact p that a fair coin gives as few or as many successes, or fewer or more."""
    ways, tail = 1, 0
    for k in range(min(successes, trials - successes) + 1):
        tail += ways
        ways = ways * (trials - k) // (k + 1)
    return min(1.0, 2 * tail / 2**trials)


def _table(counts: Counts) -> NDArray[np.float64]:
    table = np.asarray(counts, dtype=np.float64)
    return table if table.size else np.zeros((0, 1))
