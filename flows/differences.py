"""Differences between trainings, paired over the same prompts and picture seeds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flows.outcomes import VariantOutcome
from hcp.evaluation.interval import Interval, hierarchical_interval, paired_interval
from hcp.evaluation.results import BASE, CANDIDATE, EvaluationReport

Floats = NDArray[np.float64]
Pair = tuple[EvaluationReport, EvaluationReport]


def to_base(runs: Sequence[VariantOutcome], name: str) -> Interval | None:
    """A variant's difference to the base by one measure; None where it was not measured."""
    pairs = [(each.evaluation.figures, each.evaluation.figures) for each in runs]
    return _interval(pairs, name, other=BASE)


def to_default(
    runs: Sequence[VariantOutcome], default: Sequence[VariantOutcome], name: str
) -> Interval | None:
    """A variant's difference to the default, over the seeds that both were trained with."""
    others = {each.seed: each.evaluation.figures for each in default}
    pairs = [(each.evaluation.figures, others[each.seed]) for each in runs if each.seed in others]
    return _interval(pairs, name, other=CANDIDATE)


def _interval(pairs: Sequence[Pair], name: str, *, other: str) -> Interval | None:
    found = [_difference(ours, theirs, name, other=other) for ours, theirs in pairs]
    rows = [difference for difference in found if difference is not None]
    if not rows or len({len(row) for row in rows}) > 1:
        return None
    config = pairs[0][0].config
    groups = np.array(_groups(pairs[0][0], name, len(rows[0])))
    table: Floats = np.stack(rows)
    measured = ~np.isnan(table).all(axis=0)  # by some training; the red car has no people score
    if not measured.any():
        return None
    table, units = table[:, measured], [int(group) for group in groups[measured]]
    if len(table) == 1:
        return paired_interval(
            table[0].tolist(), [0.0] * len(units), groups=units,
            level=config.level, n_resamples=config.n_resamples,
        )  # fmt: skip
    return hierarchical_interval(
        table.tolist(), [[0.0] * len(units)], groups=units,
        level=config.level, n_resamples=config.n_resamples,
    )  # fmt: skip


def _difference(
    ours: EvaluationReport, theirs: EvaluationReport, name: str, *, other: str
) -> Floats | None:
    """[N] pictures or photos, NaN where one of both has no number; None: they cannot be paired."""
    if ours.config.pictures() != theirs.config.pictures():
        return None
    mine, his = (
        report.scores.get(name, report.photo_scores.get(name, {})).get(arm, ())
        for report, arm in ((ours, CANDIDATE), (theirs, other))
    )
    if not mine or len(mine) != len(his):
        return None
    a, b = (np.array([np.nan if v is None else v for v in values]) for values in (mine, his))
    return a - b


def _groups(report: EvaluationReport, name: str, n: int) -> list[int]:
    """What is resampled: a picture's prompt, or the photo itself."""
    if name not in report.scores:
        return list(range(n))
    return report.config.numbers_of(prompt for prompt, _ in report.config.pictures())
