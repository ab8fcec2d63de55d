"""The report's curves of a training; what a run did not measure has none."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, TypeVar

from hcp.pages.figures import Chart, line_chart

if TYPE_CHECKING:
    from hcp.training.metrics import StepMetrics
    from hcp.training.watching import Validation

P = TypeVar("P", "StepMetrics", "Validation")

MIN_POINTS = 2


def training_charts(
    metrics: "Sequence[StepMetrics]", validations: "Sequence[Validation]" = ()
) -> list[Chart]:
    """Losses and attention of training and validation, speed, and skipped steps if there are any.

    Runs of earlier versions have fewer.
    """
    skipped = any(getattr(m, "skipped", 0) for m in metrics)
    found = [
        _chart("Denoising loss", metrics, lambda m: m.denoise),
        _chart("Denoising loss, validation", validations, lambda v: v.loss),
        _chart("Alignment loss", metrics, lambda m: m.alignment),
        _chart("Alignment loss, validation", validations, lambda v: v.alignment),
        _chart("Attention on people", metrics, lambda m: m.attention_share),
        _chart("Attention on people, validation", validations, lambda v: v.attention_share),
        _chart("Images per second", metrics, lambda m: m.images_per_s),
        _chart("Waiting for data, share of time", metrics, lambda m: m.data_wait),
        _chart("Skipped steps", metrics, lambda m: m.skipped) if skipped else None,
    ]
    return [chart for chart in found if chart is not None]


def _chart(title: str, points: Sequence[P], value: Callable[[P], float | None]) -> Chart | None:
    known = [(p.step, v) for p in points if (v := value(p)) is not None and isfinite(v)]
    if len(known) < MIN_POINTS:
        return None
    return line_chart(title, [step for step, _ in known], [v for _, v in known])
