"""Settings of what is looked at, and the names of the curves."""

from dataclasses import replace
from typing import Any

import pytest

from hcp.training.metrics import StepMetrics
from hcp.training.watching import SamplesConfig, Validation, ValidationConfig, curves

STEP = StepMetrics(
    step=1, loss=0.5, denoise=0.4, alignment=0.3, learning_rate=1e-4, grad_norm=1.0,
    images_per_s=2.0, epoch=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (ValidationConfig, {"every": -1}, "every"),
        (ValidationConfig, {"photos": 0}, "photos"),
        (ValidationConfig, {"noise_levels": ()}, "noise_levels"),
        (ValidationConfig, {"noise_levels": (0.5, 1.0)}, "noise_levels"),
        (SamplesConfig, {"every": -1}, "every"),
        (SamplesConfig, {"steps": 0}, "steps"),
        (SamplesConfig, {"prompts": ()}, "every = 0 draws no pictures"),
        (SamplesConfig, {"seeds": ()}, "seeds"),
        (SamplesConfig, {"size_px": 100}, "multiple of 8"),
    ],
)
def test_wrong_settings_are_refused(kind: type, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**wrong)


def test_an_old_step_has_the_curves_that_it_measured() -> None:
    assert set(curves(STEP)) == {
        "loss", "denoise", "alignment", "learning_rate", "grad_norm", "images_per_s", "epoch",
        "skipped", "bad_samples",
    }  # fmt: skip
    new = replace(STEP, alignment_by_stage={"mid": 0.25}, attention_share=0.5, data_wait=0.0)
    assert curves(new)["alignment/mid"] == 0.25
    assert curves(new)["data_wait"] == 0.0


def test_curves_of_a_validation_stand_apart() -> None:
    seen = Validation(
        step=0, loss=0.5, by_noise_level={"0.1": 0.25}, attention_share_by_stage={"up": 0.75}
    )
    assert curves(seen) == {
        "validation/loss": 0.5, "validation/loss_at/0.1": 0.25,
        "validation/attention_share/up": 0.75,
    }  # fmt: skip
