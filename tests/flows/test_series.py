"""What the series take from reports and events."""

from math import inf, nan
from pathlib import Path

import pytest

from flows.series import (
    SERIES,
    UNITS,
    Pace,
    Value,
    is_recordable,
    step_values,
    unit_values,
    validation_values,
)
from hcp.training.metrics import StepMetrics
from hcp.training.watching import Validation
from priors.reports import UnitReport

REPORT = UnitReport(
    fingerprint="0" * 32, n_samples=6, n_rejects=2, rejects_by_reason={"no_person": 2},
    stage_seconds={"pose": 0.5, "masks": 1.5}, model_seconds=2.0, seconds=3.0, skipped=False,
)  # fmt: skip
STEP = StepMetrics(
    step=3, loss=0.5, denoise=0.4, alignment=0.2, learning_rate=1e-4, grad_norm=1.5,
    images_per_s=4.0, epoch=0, skipped=1, device_memory_mib=2.0, attention_share=0.25,
)  # fmt: skip


def numbers(values: object) -> dict[str, float]:
    found: dict[str, float] = {}
    for value in values:  # type: ignore[attr-defined]
        assert isinstance(value, Value)
        assert set(value.labels) == set(value.series.labels)
        found[" ".join([value.series.name, *value.labels.values()])] = value.number
    return found


def test_a_unit_s_photos_rejects_and_stages() -> None:
    assert numbers(unit_values(REPORT)) == {
        "hcp_units": 1, "hcp_photos kept": 6, "hcp_photos rejected": 2,
        "hcp_rejects no_person": 2, "hcp_stage_seconds pose": 0.5, "hcp_stage_seconds masks": 1.5,
    }  # fmt: skip


def test_a_unit_that_was_there_already_computed_no_photo() -> None:
    from dataclasses import replace

    assert numbers(unit_values(replace(REPORT, skipped=True))) == {"hcp_units": 1}


def test_a_step_s_losses_time_and_rate() -> None:
    found = numbers(step_values(STEP, Pace(steps=100, images=8, workers=2)))
    assert found["hcp_step_seconds"] == 2.0  # eight photos at four a second
    assert found["hcp_trained_photos_per_second"] == 8.0  # of both workers
    assert (found["hcp_step"], found["hcp_steps"]) == (3, 100)
    assert (found["hcp_loss loss"], found["hcp_loss denoise"]) == (0.5, 0.4)
    assert found["hcp_device_memory_bytes"] == 2 * 2**20
    assert found["hcp_skipped_steps"] == 1
    assert "hcp_data_wait" not in found  # not measured
    assert numbers(validation_values(Validation(step=3, loss=0.7))) == {"hcp_validation_loss": 0.7}


@pytest.mark.parametrize(
    ("name", "number", "taken"),
    [
        ("hcp_units", 0, False), ("hcp_units", 1, True), ("hcp_loss", 0, True),
        ("hcp_loss", nan, False), ("hcp_loss", inf, False), ("hcp_loss", -1, True),
    ],
)  # fmt: skip
def test_what_no_series_can_take(name: str, number: float, taken: bool) -> None:
    assert is_recordable(Value(series=SERIES[name], number=number)) == taken


def test_a_counter_s_name_in_prometheus_ends_as_counters_do() -> None:
    assert UNITS.exported == "ray_hcp_units_total"
    assert SERIES["hcp_loss"].exported == "ray_hcp_loss"


def test_the_page_names_every_series() -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    for series in SERIES.values():
        labels = ", ".join(f"`{label}`" for label in series.labels)
        assert f"| `{series.exported}` | {labels} | {series.description} |" in text
