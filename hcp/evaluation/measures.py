"""How a measure enters the report: by its card and, per model, a number for each picture or one.

A measure is a function from report and pictures to the report with its figures. Whoever adds one
needs to change neither the report's record nor its page.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from hcp.evaluation.comparison import Pictures
from hcp.evaluation.interval import Interval, mean_of_known, paired_interval
from hcp.evaluation.results import BASE, CANDIDATE, EvaluationReport, MeasureCard

Measure = Callable[[EvaluationReport, Pictures], EvaluationReport]
"""Adds its figures to ``report.arms``, ``.comparisons`` and ``.cards``, or why there are none."""


def not_measured(report: EvaluationReport, **reasons: str) -> EvaluationReport:
    """The report with the reason why each named measure has no figure."""
    return replace(report, not_measured={**report.not_measured, **reasons})


def with_figures(
    report: EvaluationReport,
    card: MeasureCard,
    figures: Mapping[str, float],
    intervals: Mapping[str, Interval] | None = None,
) -> EvaluationReport:
    """The report with one figure for each arm and, by the other's name, paired differences."""
    arms = {
        name: replace(arm, more={**arm.more, card.name: figures[name]}) if name in figures else arm
        for name, arm in report.arms.items()
    }
    known = intervals or {}
    comparisons = {
        other: replace(each, more={**each.more, card.name: known[other]})
        if other in known
        else each
        for other, each in report.comparisons.items()
    }
    return replace(report, arms=arms, comparisons=comparisons, cards=(*report.cards, card))


def with_pictures_measured(
    report: EvaluationReport,
    pictures: Pictures,
    card: MeasureCard,
    values: Mapping[str, Sequence[float | None]],
    *,
    why: str,
) -> EvaluationReport:
    """The report with a measure that has one number for each picture.

    Args:
        values: arm -> a number for each picture, in the order of ``pictures``; None where the
            measure is not defined.
        why: the reason that the report gives where no picture of the base has a number.
    """
    report = with_scores(report, card.name, values)
    means = {name: mean_of_known(numbers) for name, numbers in values.items()}
    if means[BASE] is None:
        return not_measured(report, **{card.name: why})
    return with_figures(
        report,
        card,
        {name: mean for name, mean in means.items() if mean is not None},
        differences(report, pictures, values),
    )


def with_scores(
    report: EvaluationReport, name: str, values: Mapping[str, Sequence[float | None]]
) -> EvaluationReport:
    """The report that keeps a measure's number of each picture, by which two reports are paired."""
    kept = {arm: tuple(numbers) for arm, numbers in values.items()}
    return replace(report, scores={**report.scores, name: kept})


def differences(
    report: EvaluationReport, pictures: Pictures, values: Mapping[str, Sequence[float | None]]
) -> dict[str, Interval]:
    """The candidate's paired difference to each other arm, over the pictures that both know.

    An arm with no such picture is left out.
    """
    numbers = report.config.numbers_of(pictures.prompts)
    found: dict[str, Interval] = {}
    for other in report.comparisons:
        rows = [
            (ours, theirs, number)
            for ours, theirs, number in zip(values[CANDIDATE], values[other], numbers, strict=True)
            if ours is not None and theirs is not None
        ]
        if rows:
            ours, theirs, groups = zip(*rows, strict=True)
            config = report.config
            found[other] = paired_interval(
                ours, theirs, groups=groups, level=config.level, n_resamples=config.n_resamples
            )
    return found
