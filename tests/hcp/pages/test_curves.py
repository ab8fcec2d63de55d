"""Which curves a report has."""

from dataclasses import replace

from hcp.pages.curves import training_charts
from hcp.training.metrics import StepMetrics
from hcp.training.watching import Validation

OLD = [
    StepMetrics(
        step=i, loss=1.0, denoise=1.0, alignment=0.5, learning_rate=1e-4, grad_norm=1.0,
        images_per_s=1.0, epoch=0,
    )
    for i in range(1, 6)
]  # fmt: skip


def titles(metrics: list[StepMetrics], validations: list[Validation] = []) -> list[str]:  # noqa: B006
    return [chart.title for chart in training_charts(metrics, validations)]


def test_an_old_run_has_what_it_measured() -> None:
    assert titles(OLD) == ["Denoising loss", "Alignment loss", "Images per second"]
    assert titles(OLD[:1]) == []
    assert titles([]) == []


def test_what_a_run_measured_is_shown() -> None:
    new = [replace(m, attention_share=0.3, data_wait=0.01) for m in OLD]
    seen = [Validation(step=i, loss=0.5, alignment=0.2, attention_share=0.4) for i in (0, 5)]
    assert {
        "Denoising loss, validation", "Alignment loss, validation", "Attention on people",
        "Attention on people, validation", "Waiting for data, share of time",
    } <= set(titles(new, seen))  # fmt: skip


def test_what_is_not_a_number_leaves_a_gap() -> None:
    broken = [*OLD[:2], replace(OLD[2], denoise=float("nan")), *OLD[3:]]
    chart = training_charts(broken)[0]
    assert len(chart.raw.split()) == 4
