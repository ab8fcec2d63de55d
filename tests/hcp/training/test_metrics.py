"""Steps as plain JSON and back."""

import json
from math import isnan, nan

from hcp.training.metrics import StepMetrics, from_json, to_json

STEP = StepMetrics(
    step=3, loss=0.5, denoise=0.4, alignment=0.2, learning_rate=1e-3, grad_norm=1.0,
    images_per_s=9.0, epoch=0, alignment_by_stage={"mid": 0.1},
)  # fmt: skip


def test_a_step_comes_back_as_it_was() -> None:
    assert from_json(json.loads(json.dumps(to_json(STEP), allow_nan=False))) == STEP


def test_what_is_not_finite_is_null_and_comes_back_as_no_number() -> None:
    skipped = {"loss": nan, "grad_norm": float("inf"), "alignment_by_stage": {"mid": nan}}
    data = to_json(from_json(to_json(STEP) | skipped))
    assert (data["loss"], data["grad_norm"], data["alignment_by_stage"]) == (
        None,
        None,
        {"mid": None},
    )
    assert isnan(from_json(data).loss)


def test_fields_of_a_later_version_are_left_out_and_missing_ones_are_no_numbers() -> None:
    data = to_json(STEP) | {"colour": "red"}
    assert from_json(data) == STEP
    del data["epoch"]
    del data["skipped"]
    old = from_json(data)
    assert isnan(old.epoch)
    assert old.skipped == 0
