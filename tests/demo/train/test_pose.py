"""The pose training learns, and its exports load."""

from pathlib import Path

import numpy as np
import pytest
import torch

from demo.train import pose
from demo.train.command import Recipe
from demo.train.loop import Loop
from demo.train.pose import RECIPE, PoseTraining
from tests.demo.train.runs import a_run

RECIPE_12 = Recipe(scenes=12, batch_size=4, peak_learning_rate=2e-3, max_norm=10.0)


def test_the_loss_falls_on_a_batch_seen_again(scene_folder: Path) -> None:
    torch.set_num_threads(1)
    training = PoseTraining(RECIPE_12, scene_folder)
    optimizer = torch.optim.AdamW(training.module.parameters(), lr=RECIPE.peak_learning_rate)
    losses: list[float] = []
    for _ in range(4):
        loss, figures = training.loss(np.random.default_rng(0), size=4, progress=0.2)
        assert float(loss.detach()) == pytest.approx(sum(figures.values()), rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


def test_the_tolerance_narrows_with_progress(scene_folder: Path) -> None:
    training = PoseTraining(RECIPE_12, scene_folder)
    with torch.no_grad():
        early, late = (
            training.loss(np.random.default_rng(0), size=4, progress=p)[1] for p in (0.0, 1.0)
        )
    assert late["pose_loss"] > early["pose_loss"]
    assert late["box_loss"] == pytest.approx(early["box_loss"], rel=0.2)


def test_a_step_trains_and_an_export_loads(scene_folder: Path, tmp_path: Path) -> None:
    training = PoseTraining(RECIPE_12, scene_folder)
    before = {name: value.clone() for name, value in training.module.named_parameters()}
    loop = Loop(training, RECIPE_12, a_run(tmp_path, name="pose"))
    figures = loop.advance()
    assert figures["pose_loss"] > 0
    moved = [n for n, p in training.module.named_parameters() if not torch.equal(p, before[n])]
    assert len(moved) > 0.9 * len(before)
    training.export(loop.averaged, tmp_path / "pose")
    assert training.score(tmp_path / "pose", 4)["held_out_oks_ap"] < 0.05


def test_the_command_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pose.PoseTraining, "score", lambda *_: {"held_out_oks_ap": 0.0})
    options = ["--steps", "1", "--scenes", "3", "--batch-size", "2"]
    pose.main([*options, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model.yaml", "model.safetensors", "TRAINING.json"}
