"""The training of the judge: other scenes than the teacher's, soft ones among them."""

import json
from pathlib import Path

import numpy as np
import pytest

from demo.train import judge
from demo.train.judge import FIRST_SEED, JudgeTraining, stored_softened
from demo.world.scene_store import HELD_OUT_FIRST_SEED, TRAIN_FIRST_SEED, draw_scenes
from tests.demo.train.test_pose import RECIPE_12


def test_its_scenes_are_nobody_else_s() -> None:
    ours = range(FIRST_SEED, FIRST_SEED + judge.RECIPE.scenes)
    for first in (TRAIN_FIRST_SEED, HELD_OUT_FIRST_SEED):  # each has at most a million
        assert not set(ours) & set(range(first, first + 1_000_000, 1))
    assert judge.RECIPE.seed != judge.TEACHER_RECIPE.seed


def test_every_third_picture_is_softened_once(tmp_path: Path) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + 4)
    soft, clean = stored_softened(seeds, folder=tmp_path), draw_scenes(seeds)
    changed = [not np.array_equal(a, b) for a, b in zip(soft.images, clean.images, strict=True)]
    assert changed == [True, False, False, True]
    apart = np.abs(soft.images[0].astype(int) - clean.images[0].astype(int)).mean()
    assert 0.5 < apart < 12.0  # the same picture, softer
    files = sorted(tmp_path.iterdir())
    assert np.array_equal(stored_softened(seeds, folder=tmp_path).images, soft.images)
    assert sorted(tmp_path.iterdir()) == files


def test_its_network_is_another_than_the_teacher_s(tmp_path: Path, scene_folder: Path) -> None:
    ours = JudgeTraining(RECIPE_12, tmp_path).module.state_dict()
    theirs = judge.PoseTraining(RECIPE_12, scene_folder).module.state_dict()
    shapes = [{name: tuple(value.shape) for name, value in each.items()} for each in (ours, theirs)]
    assert shapes[0] != shapes[1]


def test_the_record_has_the_teacher_s_figures_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "held_out_figures", lambda folder, *_, **__: {"of": folder.name})
    monkeypatch.setattr(judge.JudgeTraining, "score", lambda *_: {"held_out_oks_ap": 0.5})
    options = ["--steps", "1", "--scenes", "3", "--batch-size", "2"]
    judge.main([*options, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "TRAINING.json").read_text())
    assert (record["held_out_oks_ap"], record["teacher"]) == (0.5, {"of": "pose"})
