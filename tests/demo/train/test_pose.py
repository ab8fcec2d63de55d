"""The pose training learns, repeats, resumes, and its labels follow the picture."""

from pathlib import Path

import numpy as np
import torch

from demo.train.pose import PoseTrainer, PoseTraining, score
from demo.train.pose_batches import make_batch
from demo.world.scene_store import DrawnScenes


def _batch(scenes: DrawnScenes, *, seed: int = 0, size_px: int = 128) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return make_batch(scenes, np.arange(len(scenes.images)), size_px=size_px, rng=rng)


def _weighted(parts: dict[str, float]) -> float:
    return sum(parts.values())


def test_the_loss_falls_on_a_batch_seen_again(scenes: DrawnScenes) -> None:
    trainer, batch = PoseTrainer(PoseTraining()), _batch(scenes)
    losses = [_weighted(trainer.step(batch, progress=0.2)) for _ in range(4)]
    assert all(np.isfinite(losses))
    assert losses[-1] < 0.9 * losses[0]


def test_a_resumed_run_ends_with_the_same_weights(scenes: DrawnScenes, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    batches = [_batch(scenes, seed=i) for i in range(3)]
    straight, first, second = (PoseTrainer(PoseTraining()) for _ in range(3))
    for batch in batches:
        straight.step(batch, progress=0.3)
    for batch in batches[:2]:
        first.step(batch, progress=0.3)
    first.save(tmp_path / "state.pt", elapsed_s=12.5)
    assert second.resume(tmp_path / "state.pt") == 12.5
    second.step(batches[2], progress=0.3)
    for name, value in straight.average.items():
        assert torch.equal(value, second.average[name]), name


def test_an_untrained_export_loads_and_scores_near_nothing(tmp_path: Path) -> None:
    PoseTrainer(PoseTraining()).export(tmp_path / "pose")
    assert score(tmp_path / "pose", n_scenes=4, folder=tmp_path / "scenes") < 0.05
