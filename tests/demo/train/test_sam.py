"""The Sam training: answers as segment_anything's, learning at both sizes, exports that load."""

from pathlib import Path

import numpy as np
import pytest
import torch

from demo.train.command import Recipe
from demo.train.loop import Loop
from demo.train.sam import SIZES, SMALL_PX, SMALL_UNTIL, SamTraining, mask_loss, predict
from demo.train.sam_prompts import make_batch
from demo.world.scene_store import DrawnScenes
from priors.sam import build_sam
from tests.demo.train.runs import a_run

RECIPE_12 = Recipe(scenes=12, batch_size=4)


def test_the_loss_falls_on_a_batch_seen_again(scene_folder: Path) -> None:
    torch.set_num_threads(1)
    training = SamTraining(RECIPE_12, scene_folder)
    optimizer = torch.optim.AdamW(training.module.parameters(), lr=1e-3)
    losses: list[float] = []
    for _ in range(6):
        loss, _ = training.loss(np.random.default_rng(0), size=4, progress=0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_small_and_large_pictures_train_the_same_weights(
    scene_folder: Path, tmp_path: Path
) -> None:
    training = SamTraining(RECIPE_12, scene_folder)
    seen: list[tuple[int, ...]] = []
    encoder = training.module.image_encoder
    encoder.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    for progress in (0.0, SMALL_UNTIL):
        training.module.zero_grad()
        training.loss(np.random.default_rng(1), size=4, progress=progress)[0].backward()
        position: torch.Tensor = encoder.get_parameter("pos_embed").grad
        assert position.shape[1] * SIZES.vit_patch_size == SIZES.image_size
        assert (position != 0).any(dim=-1).all()  # every place learns
    assert seen == [(4, 3, SMALL_PX, SMALL_PX), (1, 3, SIZES.image_size, SIZES.image_size)]
    frozen = {n for n, p in training.module.named_parameters() if not p.requires_grad}
    assert frozen
    assert all("mask_downscaling" in name for name in frozen)


def test_a_step_trains_and_an_export_loads(scene_folder: Path, tmp_path: Path) -> None:
    training = SamTraining(RECIPE_12, scene_folder)
    loop = Loop(training, RECIPE_12, a_run(tmp_path, name="sam"))
    assert np.isfinite(loop.advance()["iou"])
    training.export(loop.averaged, tmp_path / "sam")
    assert training.score(tmp_path / "sam", 4)["held_out_box_iou"] < 0.5


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
