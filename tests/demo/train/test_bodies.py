"""The body judge's training: it learns, its exports load, one kind of fault may be left out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from demo.train import bodies
from demo.train.bodies import SIZES, BodyRecipe, BodyTraining, view_of
from demo.train.body_crops import WINDOW_PX
from demo.train.loop import Loop
from demo.world.faults import FAULTS
from tests.demo.train.runs import a_run

RECIPE = BodyRecipe(scenes=40, batch_size=16)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bodies")


def test_the_loss_falls_on_a_batch_seen_again(work: Path) -> None:
    torch.set_num_threads(1)
    training = BodyTraining(RECIPE, work)
    optimizer = torch.optim.AdamW(training.module.parameters(), lr=3e-3)
    losses: list[float] = []
    for _ in range(6):
        torch.manual_seed(0)
        loss, figures = training.loss(np.random.default_rng(0), size=16, progress=0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        assert set(figures) == {"verdict", "place", "order", "right"}
    assert losses[-1] < 0.8 * losses[0]


def test_an_export_is_scored_on_pairs_of_every_kind(work: Path, tmp_path: Path) -> None:
    training = BodyTraining(RECIPE, work)
    loop = Loop(training, RECIPE, a_run(tmp_path, name="bodies"))
    loop.advance()
    training.export(loop.averaged, tmp_path / "bodies")
    scores = training.score(tmp_path / "bodies", 2)
    assert set(scores) == {"held_out_soundness", *(f"ranked_right_{kind}" for kind in FAULTS)}


def test_a_kind_can_be_left_out_and_an_unknown_one_is_named(work: Path) -> None:
    whole = BodyTraining(RECIPE, work)
    part = BodyTraining(BodyRecipe(scenes=40, without="extra_arm"), work)
    assert len(part.rows) < len(whole.rows)
    with pytest.raises(ValueError, match=r"--without: one of extra_arm.*got 'tail'"):
        BodyTraining(BodyRecipe(scenes=40, without="tail"), work)


def test_views_differ_and_stay_inside_the_window() -> None:
    rng = np.random.default_rng(1)
    views = [view_of(rng) for _ in range(50)]
    assert len({view.side_px for view in views}) == 50
    assert {view.mirror for view in views} == {False, True}
    for view in views:
        assert view.size_px == SIZES.input_px
        for corner in (view.left_px, view.top_px):
            assert 0.0 <= corner <= WINDOW_PX - view.side_px


def test_the_command_trains(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.BodyTraining, "score", lambda *_: {"held_out_soundness": 0.5})
    options = ["--steps", "1", "--scenes", "12", "--batch-size", "4", "--without", "fused"]
    bodies.main([*options, "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")])
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"config.json", "model.safetensors", "TRAINING.json"}
