"""Prompts and their masks follow the picture."""

import numpy as np
import torch

from demo.train.sam_prompts import make_batch
from demo.world.scene_store import DrawnScenes


def test_prompts_lie_on_their_people(scenes: DrawnScenes) -> None:
    indexes = np.unique(scenes.scene_of)[:4].tolist()
    rng = np.random.default_rng(2)
    batch = make_batch(scenes, indexes, size_px=128, points_only=0.3, rng=rng)
    half = batch.images.shape[-1] // 2
    prompts = len(batch.targets)
    assert prompts >= 8
    assert batch.targets.shape == (prompts, half, half)
    assert len(batch.boxes) <= prompts
    for box, target in zip(batch.boxes.tolist(), batch.targets, strict=False):
        ys, xs = torch.nonzero(target > 0.5, as_tuple=True)
        drawn = (xs.min() * 2, ys.min() * 2, xs.max() * 2 + 2, ys.max() * 2 + 2)
        size = max(drawn[2] - drawn[0], drawn[3] - drawn[1])
        assert all(
            abs(a - float(b)) < 0.15 * float(size) + 3 for a, b in zip(box, drawn, strict=True)
        )
    assert bool((batch.labels[:, -1] == -1).all())
    boxless = batch.labels[len(batch.boxes) :]
    assert bool((boxless == 1).any(dim=1).all())
