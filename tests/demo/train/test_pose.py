"""The pose training: labels follow the picture, the network learns, its exports load."""

from pathlib import Path

import numpy as np
import pytest
import torch

from demo.train import pose
from demo.train.command import Recipe
from demo.train.loop import Loop
from demo.train.pose import RECIPE, PoseTraining, make_batch
from demo.world.scene_store import SIZE_PX, DrawnScenes
from storage.records import COCO_KEYPOINTS
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


def _batch(scenes: DrawnScenes, *, seed: int = 0, size_px: int = 128) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return make_batch(scenes, np.arange(len(scenes.images)), size_px=size_px, rng=rng)


def test_a_batch_is_a_function_of_its_seed(scenes: DrawnScenes) -> None:
    first, again, other = _batch(scenes), _batch(scenes), _batch(scenes, seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["img"], other["img"])


def test_labels_lie_in_the_picture_and_belong_to_its_images(scenes: DrawnScenes) -> None:
    batch = _batch(scenes, size_px=SIZE_PX)
    assert batch["img"].shape == (12, 3, SIZE_PX, SIZE_PX)
    assert 0.0 <= float(batch["img"].min()) < float(batch["img"].max()) <= 1.0
    people = len(batch["batch_idx"])
    assert 0 < people <= len(scenes.boxes)
    low = batch["bboxes"][:, :2] - batch["bboxes"][:, 2:] / 2
    high = batch["bboxes"][:, :2] + batch["bboxes"][:, 2:] / 2
    assert float(low.min()) >= -1e-5
    assert float(high.max()) <= 1 + 1e-5
    points = batch["keypoints"]
    assert points.shape == (people, 17, 3)
    seen = points[..., 2] > 0
    assert bool(((points[..., :2] >= 0) & (points[..., :2] < 1)).all())
    assert float(seen.float().mean()) > 0.7


def test_mirrored_people_keep_their_left_and_right(scenes: DrawnScenes) -> None:
    """A person who faces us has the left shoulder at greater x, mirrored or not."""
    left, right = COCO_KEYPOINTS.index("left_shoulder"), COCO_KEYPOINTS.index("right_shoulder")
    facing = scenes.keypoints[:, left, 0] - scenes.keypoints[:, right, 0] > 15
    assert facing.any()
    chosen = np.unique(scenes.scene_of[facing])
    lonely = [int(s) for s in chosen if len(scenes.people_of(int(s))) == 1]
    rng = np.random.default_rng(3)
    batch = make_batch(scenes, np.repeat(lonely, 12), size_px=128, rng=rng)
    both = (batch["keypoints"][:, [left, right], 2] > 0).all(dim=1)
    order = batch["keypoints"][both, left, 0] - batch["keypoints"][both, right, 0]
    assert len(order) >= 6
    assert bool((order > 0).all())
