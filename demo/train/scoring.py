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
    from pycocotools.cocoeval import COCOeval

    found = _coco_results(detections)
    if not found:
        return 0.0
    truth: Any = COCO()
    truth.dataset = _coco_truth(scenes)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints, and has no switch
        truth.createIndex()
        evaluation: Any = COCOeval(truth, truth.loadRes(found), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def mask_iou(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks; 1 where both are empty."""
    union = int(np.count_nonzero(predicted | truth))
    return int(np.count_nonzero(predicted & truth)) / union if union else 1.0


def _coco_truth(scenes: DrawnScenes) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for person, scene in enumerate(scenes.scene_of):
        left, top, right, bottom = (float(v) for v in scenes.boxes[person])
        keypoints = scenes.keypoints[person]
        annotations.append(
            {
                "id": person + 1,
                "image_id": int(scene),
                "category_id": 1,
                "iscrowd": 0,
                "bbox": [left, top, right - left, bottom - top],
                "area": float(scenes.mask(person).sum()),
                "keypoints": [float(v) for v in keypoints.reshape(-1)],
                "num_keypoints": int(np.count_nonzero(keypoints[:, 2])),
            }
        )
    return {
        "info": {},
        "images": [{"id": index} for index in range(len(scenes.images))],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }


def _coco_results(detections: Sequence[Sequence[Person]]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": scene,
            "category_id": 1,
            "keypoints": [float(v) for row in person.keypoints for v in row],
            "score": person.score,
        }
        for scene, people in enumerate(detections)
        for person in people
    ]
