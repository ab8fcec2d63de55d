"""Models by name: the wrapper that fits the weights, and what fits none."""

from pathlib import Path

import numpy as np
import pytest

from priors.config import ModelConfig
from priors.masks import SamMasks
from priors.models import load_masks, load_pose
from storage.errors import WeightsError
from tests.priors.sam_samples import write_small_sam


def small(weights: Path, *, trust: bool = False) -> ModelConfig:
    return ModelConfig(weights=str(weights), imgsz=64, trust_weights=trust)


def test_the_embedded_format_loads_by_directory_and_by_file(tiny_pose: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    by_directory = load_pose(small(tiny_pose))
    by_file = load_pose(small(tiny_pose / "model.safetensors"))
    assert by_directory([image]) == by_file([image])
    assert by_directory([]) == []


def test_a_directory_with_config_json_is_a_sam(tmp_path: Path) -> None:
    write_small_sam(tmp_path / "sam")
    assert isinstance(load_masks(small(tmp_path / "sam")), SamMasks)


def test_weights_of_another_kind_are_refused(tiny_pose: Path, tmp_path: Path) -> None:
    (tiny_pose / "model.yaml").write_text(
        (tiny_pose / "model.yaml").read_text().replace("- 17\n- 3", "- 5\n- 3")
    )
    with pytest.raises(WeightsError, match=r"model"):
        load_pose(small(tiny_pose))
    with pytest.raises(WeightsError, match="segment weights"):
        load_masks(small(tiny_pose))
    (tiny_pose / "model.yaml").unlink()
    with pytest.raises(WeightsError, match=r"model\.yaml"):
        load_pose(small(tiny_pose))
    not_a_model = tmp_path / "text.pt"
    not_a_model.write_text("nothing")
    for load in (load_pose, load_masks):
        with pytest.raises(WeightsError, match=r"text\.pt is a text, not weights"):
            load(small(not_a_model, trust=True))


@pytest.mark.assets
def test_a_mask_model_is_no_pose_model(assets: Path) -> None:
    with pytest.raises(WeightsError, match="holds a model for 'segment'"):
        load_pose(small(assets / "weights" / "yolo11n-seg.pt"))
