"""Settings files of the version before the settings tree, and what it left on users' disks."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from flows.legacy import moved
from flows.params import (
    EvaluateParams,
    RebuildAndTrainParams,
    RebuildParams,
    RetryParams,
    TrainParams,
)
from flows.retry import last_settings
from hcp.config import HcpConfig

GOLDEN = Path(__file__).parents[1] / "golden"
TRAIN = json.loads((GOLDEN / "train.json").read_text())


def test_a_training_file_means_what_it_meant() -> None:
    with pytest.warns(FutureWarning) as caught:
        params = TrainParams.model_validate(TRAIN)
    said = [str(each.message) for each in caught]
    assert len(said) == 1
    for new in ("learning_rate is now training.learning_rate", "hcp is now training.hcp",
                "resolution_px is now training.data.resolution_px",
                "workers is now workers.count"):  # fmt: skip
        assert new in said[0]
    config = params.training
    assert (config.steps, config.learning_rate, config.precision) == (2, 1e-3, "float32")
    assert (config.data.resolution_px, config.hcp) == (128, HcpConfig(width=4, stages=("mid",)))
    assert (params.workers.count, params.workers.gpus_each) == (1, None)


def test_the_settings_of_a_rebuild_start_a_retry(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "data", tmp_path / "data")
    with pytest.warns(FutureWarning) as caught:
        params = RetryParams.model_validate(last_settings(str(tmp_path / "data")))
    assert len(caught) == 1
    assert "image_size_px is now extractor.imgsz" in str(caught[0].message)
    assert "batch_size is now extractor.batch_size and extractor.mask_batch_size" in str(
        caught[0].message
    )
    assert (params.extractor.pose_model, params.extractor.imgsz) == ("embedded", 320)
    assert (params.workers.count, params.unit_size) == (1, 6)


def test_an_evaluations_flat_names() -> None:
    former = {
        "seeds": 3, "inference_steps": 7, "guidance": 4.0, "attention_photos": 5,
        "pose_model": "embedded", "pose_image_size_px": 320, "trust_weights": True,
    }  # fmt: skip
    with pytest.warns(FutureWarning):
        params = EvaluateParams.model_validate(
            {"checkpoint": "/c", "base": "b", "out": "/o"} | former
        )
    found = params.evaluation
    assert (found.seeds, found.steps, found.guidance, found.max_photos) == ((0, 1, 2), 7, 4.0, 5)
    assert params.judge.weights == "embedded"
    assert (params.judge.imgsz, params.judge.trust_weights) == (320, True)


def test_a_pipelines_file_gives_one_warning_with_whole_paths() -> None:
    data: dict[str, Any] = {
        "rebuild": {"source": "/s", "root": "/r", "actors": 2, "decode_cpus": 1},
        "train": {"base": "b", "out": "/o", "learning_rate": "1e-4"},
        "evaluate": {"base": "b", "out": "/o", "seeds": 2},
    }
    with pytest.warns(FutureWarning) as caught:
        params = RebuildAndTrainParams.model_validate(data)
    assert len(caught) == 1
    assert "train.learning_rate is now train.training.learning_rate" in str(caught[0].message)
    assert (params.rebuild.workers.count, params.rebuild.workers.decode_cpus) == (2, 1)
    assert params.train.training.learning_rate == 1e-4


def test_a_new_name_wins_over_a_former_one_and_alone_gives_no_warning() -> None:
    with pytest.warns(FutureWarning):
        data = moved(RebuildParams, {"actors": 2, "workers": {"count": 3, "cpus_each": 1}})
    assert data == {"workers": {"count": 3, "cpus_each": 1}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert moved(TrainParams, {"workers": {"count": 3}}) == {"workers": {"count": 3}}
        TrainParams.model_validate(TrainParams(dataset="d", base="b", out="o").model_dump())
