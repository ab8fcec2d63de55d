"""The Sam training learns, resumes, grows and exports."""

from pathlib import Path

import numpy as np
import torch

from demo.train.sam import SamTrainer, SamTraining, box_prompt_iou
from demo.train.sam_prompts import PromptBatch, make_batch
from demo.world.scene_store import DrawnScenes


def _batch(scenes: DrawnScenes, *, seed: int = 0, size_px: int = 128) -> PromptBatch:
    rng = np.random.default_rng(seed)
    indexes = np.unique(scenes.scene_of)[:4].tolist()
    return make_batch(scenes, indexes, size_px=size_px, points_only=0.3, rng=rng)


def test_the_loss_falls_on_a_batch_seen_again(scenes: DrawnScenes) -> None:
    trainer, batch = SamTrainer(SamTraining()), _batch(scenes)
    losses = [trainer.step(batch, progress=0.2)["loss"] for _ in range(6)]
    assert all(np.isfinite(losses))
    assert losses[-1] < losses[0]


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
