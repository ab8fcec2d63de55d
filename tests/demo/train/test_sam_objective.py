"""Many prompts at once are answered as segment_anything answers them; the loss by hand."""

import numpy as np
import pytest
import torch

from demo.train.sam import SIZES
from demo.train.sam_objective import mask_loss, predict
from demo.train.sam_prompts import make_batch
from demo.world.scene_store import DrawnScenes
from priors.sam import build_sam


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_the_batched_decoder_equals_segment_anything(scenes: DrawnScenes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    indexes = np.unique(scenes.scene_of)[:4].tolist()
    batch = make_batch(scenes, indexes, size_px=SIZES.image_size, points_only=0.3, rng=rng)
    torch.manual_seed(seed)
    sam = build_sam(SIZES)
    slots = batch.points.shape[1] - 1
    with torch.no_grad():
        logits, iou = predict(sam, batch)
        for i, image in enumerate(batch.image_of.tolist()):
            record = {"image": batch.images[image], "original_size": (SIZES.image_size,) * 2}
            boxed = i < len(batch.boxes)
            if boxed:
                record["boxes"] = batch.boxes[i : i + 1]
            kept = slots if boxed else slots + 1
            if kept:
                record["point_coords"] = batch.points[i : i + 1, :kept]
                record["point_labels"] = batch.labels[i : i + 1, :kept]
            for multimask, tokens in ((False, slice(0, 1)), (True, slice(1, 4))):
                theirs = sam([record], multimask_output=multimask)[0]
                torch.testing.assert_close(
                    theirs["low_res_logits"][0], logits[i, tokens], rtol=1e-4, atol=1e-4
                )
                torch.testing.assert_close(
                    theirs["iou_predictions"][0], iou[i, tokens], rtol=1e-4, atol=1e-4
                )


def test_the_loss_of_a_perfect_answer_is_almost_zero() -> None:
    targets = torch.zeros(2, 16, 16)
    targets[:, 4:12, 5:9] = 1.0
    perfect = ((targets * 2 - 1) * 30)[:, None].expand(-1, 4, -1, -1)
    loss, parts = mask_loss(perfect, torch.ones(2, 4), targets)
    assert float(loss) < 1e-3
    assert parts["iou"] == 1.0
    worse, parts = mask_loss(-perfect, torch.ones(2, 4), targets)
    assert float(worse) > 10
    assert parts["iou"] == 0.0
