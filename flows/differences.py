"""Differences between trainings, paired over the same prompts and picture seeds."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from flows.outcomes import VariantOutcome
from hcp.evaluation.interval import Interval, paired_interval
from hcp.evaluation.results import BASE, CANDIDATE, EvaluationReport


def to_base(runs: Sequence[VariantOutcome], name: str) -> Interval | None:
    """A variant's difference to the base; None where it was not measured."""
    pairs = [(each.evaluation.figures, each.evaluation.figures) for each in runs]
    return _difference(pairs, name, other=BASE)


def to_default(
    runs: Sequence[VariantOutcome], default: Sequence[VariantOutcome], name: str
) -> Interval | None:
    """A variant's difference to the default, over the seeds that both were trained with."""
    others = {each.seed: each.evaluation.figures for each in default}
    pairs = [(each.evaluation.figures, others[each.seed]) for each in runs if each.seed in others]
    return _difference(pairs, name, other=CANDIDATE)


def _difference(
    pairs: Sequence[tuple[EvaluationReport, EvaluationReport]], name: str, *, other: str
) -> Interval | None:
    rows: list[tuple[list[float], list[float], list[int]]] = []
    for ours, theirs in pairs:
        found = list(_paired(ours, theirs, name, other=other))
        if found:
            mine, his, groups = (list(column) for column in zip(*found, strict=True))
            rows.append((mine, his, groups))
    if not rows:
        return None
    config = pairs[0][0].config
    if len(rows) == 1:
        ours, theirs, groups = rows[0]
        return paired_interval(
            ours, theirs, groups=groups, level=config.level, n_resamples=config.n_resamples
        )
    return crossed_interval(rows, level=config.level, n_resamples=config.n_resamples)


def _paired(
    ours: EvaluationReport, theirs: EvaluationReport, name: str, *, other: str
) -> Iterator[tuple[float, float, int]]:
    """(ours, theirs, prompt or photo) of all pictures, or photos, that both reports know."""
    if ours.config.pictures() != theirs.config.pictures():
        return
    if name in ours.scores:
        order = {prompt: i for i, prompt in enumerate(ours.config.prompts)}
        groups = [order[prompt] for prompt, _ in ours.config.pictures()]
        mine, his = ours.scores[name], theirs.scores.get(name, {})
    else:
        mine, his = ours.photo_scores.get(name, {}), theirs.photo_scores.get(name, {})
        groups = list(range(len(mine.get(CANDIDATE, ()))))
    both = mine.get(CANDIDATE, ()), his.get(other, ())
    if not len(both[0]) == len(both[1]) == len(groups):
        return
    for one, two, group in zip(*both, groups, strict=True):
        if one is not None and two is not None:
            yield one, two, group


def crossed_interval(
    runs: Sequence[tuple[Sequence[float], Sequence[float], Sequence[int]]],
    *,
    level: float,
    n_resamples: int,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a mean paired difference over training seeds and prompts.

    Every seed's model drew the same prompts, so both are resampled, each for itself.

    Args:
        runs: for each training seed, (ours, theirs, prompt) of its pictures.
    """
    names = sorted({group for _, _, groups in runs for group in groups})
    index = {name: i for i, name in enumerate(names)}
    totals: NDArray[np.float64] = np.zeros((len(runs), len(names)))
    counts = np.zeros_like(totals)
    for row, (ours, theirs, groups) in enumerate(runs):
        columns = [index[group] for group in groups]
        np.add.at(totals[row], columns, np.subtract(ours, theirs))
        np.add.at(counts[row], columns, 1.0)
    rng = np.random.default_rng(seed)
    weights = [
        rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) for n in totals.shape
    ]  # how often each seed, each prompt is drawn
    sums, n = (
        np.einsum("rs,sp,rp->r", weights[0], values, weights[1]) for values in (totals, counts)
    )
    known = sums[n > 0] / n[n > 0]
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    mean = float(totals.sum() / counts.sum())
    return Interval(mean=mean, low=float(low), high=float(high), n=len(names))
