"""MobileSAM in the layout of its checkpoint: names, loading, the masks of its own predictor."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor

from priors import masks, mobile_sam
from priors.config import ModelConfig
from priors.masks import MAX_POINTS, SamMasks
from priors.models import load_masks
from storage.errors import WeightsError
from tests.priors.sam_samples import images, person


def test_mobile_sams_layout_loads_and_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    sam = mobile_sam.build_mobile_sam(256)
    names = sam.state_dict()
    # names as published
    assert "image_encoder.layers.3.blocks.1.attn.attention_biases" in names
    assert {"image_encoder.norm_head.weight", "image_encoder.neck.3.bias"} <= set(names)
    assert "mask_decoder.iou_prediction_head.layers.2.bias" in names
    path = tmp_path / "mobile_sam.pt"
    torch.save(names, path)
    small = partial(mobile_sam.load_mobile_sam, image_size=256)  # 1024 px takes seconds on a CPU
    monkeypatch.setattr(masks, "load_mobile_sam", small)
    with pytest.raises(WeightsError, match="pickle"):
        load_masks(ModelConfig(weights=str(path)))
    model = load_masks(ModelConfig(weights=str(path), trust_weights=True))
    assert isinstance(model, SamMasks)
    people = [[person(10, 10, 60, 80), person(70, 5, 150, 85)], [], [person(20, 20, 100, 100)]]
    found = model(images(), people)
    assert [f.masks.shape for f in found] == [
        (len(given), *image.shape[:2]) for given, image in zip(people, images(), strict=True)
    ]
    predictor = SamPredictor(sam)
    predictor.set_image(images()[2])
    one = people[2][0]
    mask, _, _ = predictor.predict(
        point_coords=np.array([p[:2] for p in one.keypoints[:MAX_POINTS]]),
        point_labels=np.ones(MAX_POINTS),
        box=np.array(one.bbox_xyxy_px),
        multimask_output=False,
    )
    assert (mask[0] != found[2].masks[0]).mean() < 1e-3


def test_a_size_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="multiple of 64, got 100"):
        mobile_sam.build_mobile_sam(100)
