"""Pose and yolo-seg models on real photos: equal to ultralytics' own, whatever the batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from priors.config import ModelConfig
from priors.models import load_masks, load_pose
from priors.pose import PoseModel
from priors.yolo import import_ultralytics

PHOTOS = 5


@pytest.fixture(scope="module")
def pictures(assets: Path) -> list[NDArray[np.uint8]]:
    """Upright and flat photos, some with people."""
    files = sorted((assets / "photos").iterdir())[:PHOTOS]
    return [np.asarray(Image.open(path).convert("RGB")) for path in files]


@pytest.fixture(scope="module")
def pose(assets: Path) -> PoseModel:
    weights = assets / "weights" / "yolo11n-pose.pt"
    return load_pose(ModelConfig(weights=str(weights), batch_size=4))


@pytest.mark.assets
def test_people_equal_those_of_predict(
    pose: PoseModel, pictures: list[NDArray[np.uint8]], assets: Path
) -> None:
    model: Any = import_ultralytics().YOLO(assets / "weights" / "yolo11n-pose.pt")
    found = pose(pictures)
    total = 0
    for picture, people in zip(pictures, found, strict=True):
        expected = model.predict(
            picture[..., ::-1], imgsz=640, rect=False, conf=0.25, verbose=False
        )[0]
        assert len(people) == len(expected.boxes)
        if people:
            points = np.array([p.keypoints for p in people])
            theirs = expected.keypoints.data.numpy()
            assert np.abs(points - theirs)[..., :2].max() < 0.5
            assert np.abs(points - theirs)[..., 2].max() < 0.01
            boxes = np.array([p.bbox_xyxy_px for p in people])
            assert np.abs(boxes - expected.boxes.xyxy.numpy()).max() < 0.5
        scores = [p.score for p in people]
        assert scores == sorted(scores, reverse=True)
        assert all(score >= 0.25 for score in scores)
        total += len(people)
    assert total >= 3


@pytest.mark.assets
def test_repeats_are_equal_and_rounded(pose: PoseModel, pictures: list[NDArray[np.uint8]]) -> None:
    first = pose(pictures[:3])
    assert pose(pictures[:3]) == first
    for person in (p for people in first for p in people):
        assert all(round(v, 2) == v for v in person.bbox_xyxy_px)
        assert all(
            (round(x, 2), round(y, 2), round(c, 4)) == (x, y, c) for x, y, c in person.keypoints
        )
        assert round(person.score, 4) == person.score
        assert not person.passes_gate


@pytest.mark.assets
@pytest.mark.slow
def test_masks_of_given_people(
    pose: PoseModel, pictures: list[NDArray[np.uint8]], assets: Path
) -> None:
    from dataclasses import replace

    from priors.yolo_seg import YoloSegMasks

    model = load_masks(ModelConfig(weights=str(assets / "weights" / "yolo11n-seg.pt")))
    assert isinstance(model, YoloSegMasks)
    people = pose(pictures)
    nowhere = replace(people[1][0], bbox_xyxy_px=(0.0, 0.0, 3.0, 3.0))
    given = [*people[:1], [*people[1], nowhere], *people[2:]]
    for picture, asked, found in zip(pictures, given, model(pictures, given), strict=True):
        assert found.masks.shape == (len(asked), *picture.shape[:2])
        assert ((found.scores > 0) == found.masks.any(axis=(1, 2))).all()
        for person, mask, score in zip(asked, found.masks, found.scores, strict=True):
            if person is nowhere:
                assert score == 0
                assert not mask.any()
            elif mask.any():
                left, top, right, bottom = person.bbox_xyxy_px
                rows, columns = np.nonzero(mask)
                assert left - 40 < columns.mean() < right + 40
                assert top - 40 < rows.mean() < bottom + 40
    assert model(pictures, given)[1].scores[0] > 0.5
