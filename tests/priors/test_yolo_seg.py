"""Instances of a yolo-seg model, given to the people that were found before."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from priors.config import ModelConfig
from priors.weights import resolve_weights
from priors.yolo import import_ultralytics, save_yolo
from priors.yolo_seg import YoloSegMasks, instance_masks, match_boxes
from storage.records import Person

SIDE = 64


def person(left: float, top: float, right: float, bottom: float) -> Person:
    points = ((left, top, 0.9),) * 17
    return Person(bbox_xyxy_px=(left, top, right, bottom), score=0.9, keypoints=points)


def test_one_to_one_matching_takes_the_best_pairs() -> None:
    given = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 12], [50, 50, 60, 60]])
    found = torch.tensor([[0.0, 0, 10, 12], [0, 0, 10, 9]])
    assert match_boxes(given, found) == [1, 0, None]
    assert match_boxes(given, found[:0]) == [None, None, None]
    assert match_boxes(given[:0], found) == []


def test_a_mask_is_its_prototypes_inside_the_box() -> None:
    import_ultralytics()
    protos = torch.full((2, 16, 16), -10.0)
    protos[0, :, :8] = 10.0  # the left half
    protos[1, :, 8:] = 10.0  # the right half
    rows = torch.tensor(
        [[4.0, 8, 60, 56, 0.8, 0, 1, 0], [36.0, 0, 60, 60, 0.6, 0, 0, 1]]
    )  # x1 y1 x2 y2 score class, a weight per prototype
    people = [person(36, 0, 60, 60), person(4, 8, 60, 56), person(0, 0, 3, 3)]
    found = instance_masks(rows, protos, people, shape=(SIDE, SIDE), side=SIDE)
    assert found.scores.tolist() == pytest.approx([0.6, 0.8, 0.0])
    right, left, nobody = found.masks
    assert right[10:50, 40:55].all()
    assert not right[:, :30].any()
    assert left[20:50, 8:28].all()
    assert not left[:, 36:].any()
    assert not left[:6].any()
    assert not nobody.any()


@pytest.fixture
def tiny_seg(tmp_path: Path) -> Path:
    """An untrained segmentation network of the smallest scale in the embedded format."""
    import_ultralytics()
    from ultralytics.nn.tasks import SegmentationModel, yaml_model_load

    config: Any = yaml_model_load("yolo11n-seg.yaml") | {"nc": 1}
    config["scales"] = {"n": [0.33, 0.125, 256]}
    torch.manual_seed(0)
    save_yolo(SegmentationModel(config, verbose=False), tmp_path / "seg")
    return tmp_path / "seg"


def test_every_person_gets_a_mask_of_the_photos_size(tiny_seg: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((48, 80), (64, 32))]
    people = [[person(0, 0, 40, 40), person(2, 2, 9, 9)], []]
    model = YoloSegMasks(resolve_weights(tiny_seg), ModelConfig(imgsz=SIDE, batch_size=2))
    first, second = model(images, people)
    assert (first.masks.shape, second.masks.shape) == ((2, 48, 80), (0, 64, 32))
    assert ((first.scores > 0) == first.masks.any(axis=(1, 2))).all()
