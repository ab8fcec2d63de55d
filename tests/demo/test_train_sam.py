"""The Sam training learns, resumes, grows, and decodes as segment_anything does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from demo.sam_prompts import PromptBatch, make_batch
from demo.scene_store import DrawnScenes, draw_scenes, training_seeds
from demo.train_sam import (
    SamTrainer,
    SamTraining,
    box_prompt_iou,
    mask_loss,
    predict,
)


@pytest.fixture(scope="module")
def scenes() -> DrawnScenes:
    return draw_scenes(training_seeds(10))


def _batch(scenes: DrawnScenes, *, seed: int = 0, size_px: int = 128) -> PromptBatch:
    rng = np.random.default_rng(seed)
    indexes = np.unique(scenes.scene_of)[:4].tolist()
    return make_batch(scenes, indexes, size_px=size_px, points_only=0.3, rng=rng)


def test_the_loss_falls_on_a_batch_seen_again(scenes: DrawnScenes) -> None:
    trainer, batch = SamTrainer(SamTraining()), _batch(scenes)
    losses = [trainer.step(batch, progress=0.2)["loss"] for _ in range(6)]
    assert all(np.isfinite(losses))
    assert losses[-1] < losses[0]


def test_prompts_lie_on_their_people(scenes: DrawnScenes) -> None:
    batch = _batch(scenes, seed=2)
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


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_the_batched_decoder_equals_segment_anything(scenes: DrawnScenes, seed: int) -> None:
    batch, sam = _batch(scenes, seed=seed), SamTrainer(SamTraining()).sam.eval()
    slots = batch.points.shape[1] - 1
    with torch.no_grad():
        logits, iou = predict(sam, batch)
        for i, image in enumerate(batch.image_of.tolist()):
            record = {"image": batch.images[image], "original_size": (128, 128)}
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


def test_growing_keeps_the_weights_and_interpolates_positions(scenes: DrawnScenes) -> None:
    trainer = SamTrainer(SamTraining())
    trainer.step(_batch(scenes), progress=0.2)
    before = {name: value.clone() for name, value in trainer.sam.state_dict().items()}
    trainer.grow(192)
    after = trainer.sam.state_dict()
    changed = {name for name in before if before[name].shape != after[name].shape}
    assert changed == {
        "image_encoder.pos_embed",
        "image_encoder.blocks.2.attn.rel_pos_h",
        "image_encoder.blocks.2.attn.rel_pos_w",
    }
    assert all(torch.equal(before[n], after[n]) for n in before if n not in changed)
    parts = trainer.step(_batch(scenes, size_px=192), progress=0.6)
    assert np.isfinite(parts["loss"])


def test_a_resumed_run_ends_with_the_same_weights(scenes: DrawnScenes, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    batches = [_batch(scenes, seed=i) for i in range(2)]
    straight, first, second = (SamTrainer(SamTraining()) for _ in range(3))
    for batch in batches:
        straight.step(batch, progress=0.3)
    first.step(batches[0], progress=0.3)
    first.save(tmp_path / "state.pt", elapsed_s=7.0)
    assert second.resume(tmp_path / "state.pt") == 7.0
    second.step(batches[1], progress=0.3)
    for name, value in straight.average.items():
        assert torch.equal(value, second.average[name]), name


def test_an_untrained_export_loads_and_finds_nobody(scenes: DrawnScenes, tmp_path: Path) -> None:
    SamTrainer(SamTraining()).export(tmp_path / "sam")
    assert box_prompt_iou(tmp_path / "sam", scenes) < 0.5
