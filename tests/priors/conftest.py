"""Stub models on the import path, and photos that they understand as a fixture."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from priors_stubs import write_photos

from priors.yolo import import_ultralytics, save_yolo
from storage.sources import Source, resolve_source


@pytest.fixture
def photos(tmp_path: Path) -> Callable[[Sequence[int]], Source]:
    """Write photos of these commands and open them as a source."""

    def make(commands: Sequence[int]) -> Source:
        write_photos(tmp_path / "photos", commands)
        return resolve_source(str(tmp_path / "photos"), format="folder")

    return make


@pytest.fixture
def tiny_pose(tmp_path: Path) -> Path:
    """An untrained pose network of the smallest scale in the embedded format."""
    import_ultralytics()
    from ultralytics.nn.tasks import PoseModel, yaml_model_load

    config: Any = yaml_model_load("yolo11n-pose.yaml") | {"nc": 1, "kpt_shape": [17, 3]}
    config["scales"] = {"n": [0.33, 0.125, 256]}
    torch.manual_seed(0)
    save_yolo(PoseModel(config, verbose=False), tmp_path / "pose")
    return tmp_path / "pose"
