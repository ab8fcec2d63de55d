"""Drawn people as prompts and masks: what the embedded Segment Anything is trained on.

B images, P prompts, K point slots, R side of the decoder's masks in px, S side of the input in px.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demo.world.augment import View, degrade, random_view
from demo.world.scene_store import SIZE_PX, DrawnScenes

MAX_POINTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptBatch:
    """Images with prompts; prompts with a box come first."""

    images: Tensor  # [B, 3, S, S] in [0, 255]
    image_of: Tensor  # [P], the image of each prompt
    points: Tensor  # [P, K + 1, 2] px of the input
    labels: Tensor  # [P, K + 1], 1 = on the person, -1 = none; the last slot is always none
    boxes: Tensor  # [P_boxed, 4] xyxy px of the input
    targets: Tensor  # [P, R, R] share of each cell that the person covers


def make_batch(
    scenes: DrawnScenes,
    indexes: Sequence[int],
    *,
    size_px: int,
    points_only: float,
    rng: np.random.Generator,
) -> PromptBatch:
    """Augmented scenes, each with at least two prompts; the masks have half the input's side."""
    slots = int(rng.integers(0, MAX_POINTS + 1))
    images: list[np.ndarray] = []
    prompts: list[tuple[Any, ...]] = []  # row, points, labels, box or None, target
    for row, scene in enumerate(indexes):
        view = random_view(rng, SIZE_PX, size_px=size_px, smallest=0.7)
        images.append(degrade(view.apply(scenes.images[scene]), rng))
        people = scenes.people_of(scene)
        for person in people if len(people) > 1 else [*people, *people]:
            mask = view.apply(scenes.mask(person).astype(np.uint8) * 255)
            if np.count_nonzero(mask > 127) < 0.01 * mask.size:
                continue  # too little of the person is in the view
            points, labels = _points(scenes.keypoints[person], view=view, slots=slots, rng=rng)
            boxed = rng.random() >= points_only or not (labels == 1).any()
            half = (size_px // 2, size_px // 2)
            target = Image.fromarray(mask).resize(half, Image.Resampling.BOX)
            box = _box(mask, rng) if boxed else None
            prompts.append((row, points, labels, box, np.asarray(target, dtype=np.float32) / 255))
    prompts.sort(key=lambda prompt: prompt[3] is None)
    rows, points, labels, boxes, targets = zip(*prompts, strict=True)
    boxes = [box for box in boxes if box is not None]
    return PromptBatch(
        images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float(),
        image_of=torch.tensor(rows),
        points=torch.from_numpy(np.stack(points)),
        labels=torch.from_numpy(np.stack(labels)),
        boxes=torch.from_numpy(np.asarray(boxes, dtype=np.float32).reshape(-1, 4)),
        targets=torch.from_numpy(np.stack(targets)),
    )


def _box(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask's box, a little off as a detector's, [4] xyxy px."""
    ys, xs = np.nonzero(mask > 127)
    corners = np.array([[xs.min(), ys.min()], [xs.max() + 1, ys.max() + 1]])
    jitter = rng.normal(0.0, 0.03, size=(2, 2)) * (corners[1] - corners[0])
    return (corners + jitter).clip(0, len(mask)).ravel()


def _points(
    keypoints: np.ndarray, *, view: View, slots: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Some keypoints in the view, mostly visible ones, as a pose model places them."""
    placed = view.points(keypoints[:, :2])
    inside = ((placed >= 0) & (placed < view.size_px)).all(axis=1)
    least = 1 if rng.random() < 0.2 else 2  # COCO visibility: 1 is hidden, 2 is seen
    usable = np.flatnonzero(inside & (keypoints[:, 2] >= least))
    count = min(len(usable), int(rng.integers(0, slots + 1)) if rng.random() < 0.5 else slots)
    points = np.zeros((slots + 1, 2), dtype=np.float32)
    labels = np.full(slots + 1, -1, dtype=np.int64)
    chosen = rng.choice(usable, size=count, replace=False) if count else usable[:0]
    noise = rng.normal(0.0, 0.008 * view.size_px, size=(count, 2))
    points[:count] = placed[chosen] + noise
    labels[:count] = 1
    return points, labels
