"""Figures of the small models on drawn people: OKS average precision and mask IoU."""

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demo.world.scene_store import DrawnScenes
from storage.records import Person


def oks_average_precision(scenes: DrawnScenes, detections: Sequence[Sequence[Person]]) -> float:
    """COCO keypoint AP (OKS .50:.95, all areas, at most 20 people an image), by pycocotools.

    ``detections`` holds one list per scene, in pixels of the scene. The area of a person is that
    of the visible mask, as in COCO.

    Raises:
        ValueError: the lengths differ.
    """
    if len(detections) != len(scenes.images):
        raise ValueError(
            f"oks_average_precision: {len(scenes.images)} scenes, {len(detections)} detections"
        )
    from pycocotools.coco import COCO

    found = [
        {"image_id": scene, "category_id": 1, "score": person.score,
         "keypoints": np.ravel(person.keypoints).tolist()}
        for scene, people in enumerate(detections)
        for person in people
    ]  # fmt: skip
    if not found:
        return 0.0
    truth: Any = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": index} for index in range(len(scenes.images))],
        "annotations": [_annotation(scenes, person) for person in range(len(scenes.scene_of))],
        "categories": [{"id": 1, "name": "person"}],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints, and has no switch
        truth.createIndex()
    return coco_keypoint_ap(truth, found, range(len(scenes.images)))


def coco_keypoint_ap(truth: Any, found: Sequence[dict[str, Any]], images: Sequence[int]) -> float:
    """COCO keypoint AP .50:.95 of detections over these images of ``truth``, a pycocotools COCO."""
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation: Any = COCOeval(truth, truth.loadRes(list(found)), "keypoints")
        evaluation.params.imgIds, evaluation.params.catIds = list(images), [1]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def keypoint_error_px(scenes: DrawnScenes, detections: Sequence[Sequence[Person]]) -> float:
    """Mean distance of found keypoints to the drawn ones, in pixels of the scene.

    Over the visible keypoints of the people that are found: each person drawn with the detection
    of greatest box IoU, at least .5. NaN where nobody is found.
    """
    errors: list[NDArray[np.float64]] = []
    for person, scene in enumerate(scenes.scene_of):
        found = detections[int(scene)]
        overlaps = [_box_iou(scenes.boxes[person], each.bbox_xyxy_px) for each in found]
        if not overlaps or max(overlaps) < 0.5:
            continue
        best = np.asarray(found[int(np.argmax(overlaps))].keypoints)
        seen = scenes.keypoints[person][:, 2] > 0
        apart = best[seen, :2] - scenes.keypoints[person][seen, :2]
        errors.append(np.hypot(apart[:, 0], apart[:, 1]))
    return float(np.concatenate(errors).mean()) if errors else float("nan")


def _box_iou(first: Sequence[float] | NDArray[np.float32], second: Sequence[float]) -> float:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    common = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0.0, None))
    areas = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])
    return float(common / (areas - common)) if areas > common else 0.0


def _annotation(scenes: DrawnScenes, person: int) -> dict[str, Any]:
    left, top, right, bottom = scenes.boxes[person].tolist()
    keypoints = scenes.keypoints[person]
    return {
        "id": person + 1,
        "image_id": int(scenes.scene_of[person]),
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [left, top, right - left, bottom - top],
        "area": float(scenes.mask(person).sum()),
        "keypoints": keypoints.ravel().tolist(),
        "num_keypoints": int(np.count_nonzero(keypoints[:, 2])),
    }


def mask_iou(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = int(np.count_nonzero(predicted | truth))
    return int(np.count_nonzero(predicted & truth)) / union if union else 1.0
