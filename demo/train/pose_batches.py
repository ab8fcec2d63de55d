"""Drawn people as labelled batches: what the embedded YOLO-pose is trained on.

B batch, P people of the batch, S side of the square input in px.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from demo.world.augment import degrade, random_view
from demo.world.scene_store import SIZE_PX, DrawnScenes
from storage.records import COCO_FLIP


def make_batch(
    scenes: DrawnScenes, indexes: np.ndarray, *, size_px: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    """Augmented scenes in the form of ultralytics' losses.

    Returns:
        ``img`` [B, 3, S, S] in [0, 1]; ``bboxes`` [P, 4] xywh and ``keypoints`` [P, 17, 3] in
        shares of the side; ``batch_idx`` [P]; ``cls`` [P, 1].
    """
    images: list[np.ndarray] = []
    boxes: list[np.ndarray] = []
    keypoints: list[np.ndarray] = []
    owners: list[int] = []
    for row, scene in enumerate(indexes):
        view = random_view(rng, SIZE_PX, size_px=size_px)
        image = degrade(view.apply(scenes.images[scene]), rng)
        erased = _erase(image, scenes, rng)
        for person in scenes.people_of(int(scene)):
            points = scenes.keypoints[person].copy()
            points[:, :2] = view.points(points[:, :2])
            points = points[list(COCO_FLIP)] if view.mirror else points
            corners = view.points(scenes.boxes[person].reshape(2, 2))
            low, high = corners.min(axis=0).clip(0, size_px), corners.max(axis=0).clip(0, size_px)
            whole = np.prod(np.abs(corners[1] - corners[0]))
            if np.prod(high - low) < 0.3 * whole:
                continue
            inside = ((points[:, :2] >= 0) & (points[:, :2] < size_px)).all(axis=1)
            points[~inside | erased.hides(points)] = 0.0
            boxes.append(np.concatenate([(low + high) / 2, high - low]) / size_px)
            keypoints.append(points / (size_px, size_px, 1.0))
            owners.append(row)
        images.append(image)
    people = len(owners)
    return {
        "img": torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float().div(255),
        "batch_idx": torch.tensor(owners, dtype=torch.float32),
        "cls": torch.zeros(people, 1),
        "bboxes": torch.from_numpy(np.asarray(boxes, dtype=np.float32).reshape(people, 4)),
        "keypoints": torch.from_numpy(
            np.asarray(keypoints, dtype=np.float32).reshape(people, 17, 3)
        ),
    }


@dataclass(frozen=True, slots=True)
class _Patch:
    """A rectangle of the view, x0, y0, x1, y1 in px; empty where nothing was erased."""

    left: int
    top: int
    right: int
    bottom: int

    def hides(self, points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1]
        return (x >= self.left) & (x < self.right) & (y >= self.top) & (y < self.bottom)


def _erase(image: np.ndarray, scenes: DrawnScenes, rng: np.random.Generator) -> _Patch:
    """Cover a rectangle of ``image`` by another scene's pixels.

    In a picture by a generator limbs go missing: without this every keypoint of a found person
    would be certain.
    """
    if rng.random() > 0.25:
        return _Patch(0, 0, 0, 0)
    side = image.shape[0]
    width, height = rng.integers(side // 8, side // 3, size=2)
    left, top = int(rng.integers(0, side - width)), int(rng.integers(0, side - height))
    other = scenes.images[rng.integers(len(scenes.images))]
    image[top : top + height, left : left + width] = other[:height, :width]
    return _Patch(left, top, left + int(width), top + int(height))
