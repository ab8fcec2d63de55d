"""What a training shows in the Prefect UI."""

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows import artifacts
from flows.display import TrainingDisplay, note, table
from hcp.training.metrics import StepMetrics
from hcp.training.watching import RunStart, SampleGrid, Validation
from tests.flows.test_artifacts import shown

STEP = StepMetrics(
    step=1, loss=0.5, denoise=0.4, alignment=0.3, learning_rate=1e-4, grad_norm=1.0,
    images_per_s=2.0, epoch=0,
)  # fmt: skip
NEW = replace(
    STEP, alignment_by_stage={"mid": 0.2}, attention_share=0.25, data_wait=0.01, skipped=1
)
SEEN = Validation(
    step=1, loss=0.125, alignment=0.5, alignment_by_stage={"mid": 0.4, "up": 0.6},
    attention_share=0.75, attention_share_by_stage={"mid": 0.75},
)  # fmt: skip


def rows(*args: Any) -> dict[str, tuple[Any, Any]]:
    return {str(row["measure"]): (row["training"], row["val"]) for row in table(*args)}


def test_the_table_has_each_measure_of_training_and_validation() -> None:
    found = rows([replace(NEW, loss=1.5), NEW], SEEN)
    assert found["loss"] == (1.0, None)
    assert found["denoise"] == (0.4, 0.125)  # a validation's loss is the denoising one
    assert found["alignment, mid"] == (0.2, 0.4)
    assert found["alignment, up"] == (None, 0.6)
    assert found["attention_share, mid"] == (None, 0.75)
    assert found["attention_share"] == (0.25, 0.75)
    assert found["skipped"] == (1, None)


def test_what_an_old_step_lacks_is_left_out() -> None:
    found = rows([STEP], None)
    assert "attention_share" not in found
    assert "data_wait" not in found
    assert found["images_per_s"] == (2.0, None)


def test_the_progress_line() -> None:
    assert note(STEP, None) == "loss 0.5000, alignment 0.3000, 2.0 photos/s each worker"
    assert "attention on people 25.0 %" in note(NEW, SEEN)
    assert "validation loss 0.1250 at 1" in note(NEW, SEEN)


def grid() -> SampleGrid:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "PNG")
    return SampleGrid(step=0, png=buffer.getvalue())


@pytest.mark.prefect
def test_everything_arrives_in_the_ui(prefect_api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MIN_INTERVAL_S", 0.0)

    def work() -> None:
        display = TrainingDisplay(total=2, link=lambda: ("http://mlflow/run", "MLflow run 1"))
        for event in (RunStart(run="r", folder="f"), grid(), NEW, SEEN, replace(NEW, step=2)):
            display(event)
        display.close()

    found = shown(prefect_api, work)
    assert set(found) == {"train", "training", "samples", "mlflow"}
    assert found["train"]["data"] == 100.0
    assert found["mlflow"]["data"] == "[MLflow run](http://mlflow/run)"
    assert {row["measure"] for row in json.loads(found["training"]["data"])} >= {"alignment, mid"}


@pytest.mark.prefect
def test_a_server_that_is_away_ends_nothing(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        display = TrainingDisplay(total=2)

        def away(*_: object, **__: object) -> None:
            raise ConnectionError("nobody there")

        monkeypatch.setattr(artifacts, "update_progress_artifact", away)
        monkeypatch.setattr("flows.display.CLOSE_S", 0.5)
        display(STEP)
        display.close()

    assert "train" in shown(prefect_api, work)
