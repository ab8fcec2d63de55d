"""The Sam training learns at both sizes, and its exports load."""

from pathlib import Path

import numpy as np
import torch

from demo.train.command import Recipe
from demo.train.loop import Loop
from demo.train.sam import SIZES, SMALL_PX, SMALL_UNTIL, SamTraining
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
