"""The one training loop: a killed run goes on exactly, averages, logs, several processes."""

import json
import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from demo.train.command import Budget, Recipe, Run, Team
from demo.train.loop import Loop, train

RECIPE = Recipe(batch_size=8, peak_learning_rate=0.05, ema_decay=0.5)


class Line:
    """A linear model with dropout and batch statistics: chance and buffers, as in real ones."""

    def __init__(self, *, killed_at: int | None = None, broken_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.2), nn.Linear(3, 1))
        self.steps, self.weights = 0, list[Tensor]()
        self._killed_at, self._broken_at = killed_at, broken_at

    def loss(
        self, rng: np.random.Generator, *, size: int, progress: float
    ) -> tuple[Tensor, Mapping[str, float]]:
        self.weights.append(self.module[2].weight.detach().clone())
        if self.steps == self._killed_at:
            raise KeyboardInterrupt
        self.steps += 1
        batch = torch.from_numpy(rng.normal(1.0, 2.0, size=(size, 3))).float()
        loss = (self.module(batch) - 1).square().mean()
        return loss * (torch.nan if self.steps == self._broken_at else 1.0), {"rows": float(size)}

    def export(self, module: nn.Module, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(module.state_dict(), folder / "line.pt")

    def score(self, folder: Path, n_scenes: int) -> dict[str, float]:
        assert (folder / "line.pt").is_file()
        return {"scenes": float(n_scenes)}


def a_run(folder: Path, *, steps: int = 12, every_s: float = 0.0, team: Team | None = None) -> Run:
    return Run(
        name="line", budget=Budget(steps=steps), work=folder / "work", out=folder / "out",
        team=team or Team(), checkpoint_every_s=every_s, log_every_steps=4, command="do it",
    )  # fmt: skip


def exported(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "out" / "line.pt", weights_only=True)


def lines(run: Run) -> list[dict[str, float]]:
    return [json.loads(line) for line in run.log.read_text().splitlines()]


@pytest.mark.parametrize("every_s", [0.0, 1e9])
def test_a_killed_training_goes_on_exactly(tmp_path: Path, every_s: float) -> None:
    """Whether it was killed between checkpoints or before the first one."""
    train(Line(), RECIPE, a_run(tmp_path / "whole"))
    cut = a_run(tmp_path / "cut", every_s=every_s)
    with pytest.raises(KeyboardInterrupt):
        train(Line(killed_at=5), RECIPE, cut)
    with cut.log.open("a") as log:
        log.write('{"step": 6}\n{"st')  # trained after the last checkpoint; half-written
    again = Line()
    record = train(again, RECIPE, cut)
    assert again.steps == (7 if every_s == 0.0 else 12)
    assert record["steps"] == 12
    whole, resumed = exported(tmp_path / "whole"), exported(tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    steps = [line["step"] for line in lines(cut) if "loss" in line]
    assert steps == [4, 8, 12]


def test_a_finished_training_is_only_exported_again(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    first = train(Line(), RECIPE, run)
    again = Line()
    assert train(again, RECIPE, run) == first
    assert again.steps == 0


def test_the_record_and_the_log_say_what_was_done(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    record = train(Line(), RECIPE, run)
    assert json.loads((run.out / "TRAINING.json").read_text()) == record
    assert (record["steps"], record["ended_by"], record["command"]) == (12, "steps", "do it")
    assert (record["scenes"], record["batch_size"]) == (200, 8)  # the score, over the recipe's
    shown = [line for line in lines(run) if "loss" in line]
    assert [line["progress"] for line in shown] == pytest.approx([4 / 12, 8 / 12, 1], abs=1e-3)
    assert shown[0]["rows"] == 8.0
    assert shown[-1]["learning_rate"] < shown[0]["learning_rate"] <= 0.05
    assert [line["step"] for line in lines(run) if "scenes" in line] == list(range(1, 13))


def test_averages_follow_the_network_and_leave_it_alone(tmp_path: Path) -> None:
    """The first average is the first step's network, later ones lie between old and new."""
    line = Line()
    loop = Loop(line, RECIPE, a_run(tmp_path))
    loop.advance()
    first = loop.averaged.state_dict()["2.weight"].clone()
    assert torch.equal(first, line.module[2].weight)
    loop.advance()
    second, raw = loop.averaged.state_dict()["2.weight"], line.module[2].weight
    rate = 1 - 2 / 11  # early steps forget faster than the decay of 0.5
    torch.testing.assert_close(second, first + rate * (raw - first))
    assert int(loop.averaged.state_dict()["0.num_batches_tracked"]) == 2
    loop.advance()


def test_a_loss_that_is_no_number_ends_the_training_before_it_spoils_the_weights(
    tmp_path: Path,
) -> None:
    run = a_run(tmp_path)
    with pytest.raises(FloatingPointError, match=r"loss nan at step 3.*--peak-learning-rate"):
        train(Line(broken_at=4), RECIPE, run)
    kept = torch.load(run.checkpoint, weights_only=True)
    assert kept["step"] == 3
    assert all(torch.isfinite(value).all() for value in kept["module"].values())


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    train(Line(), RECIPE, run)
    other = Recipe(batch_size=4, peak_learning_rate=0.05, ema_decay=0.5)
    with pytest.raises(ValueError, match=r"another training .*'batch_size': \(8, 4\)"):
        train(Line(), other, run)


def _member(rank: int, folder: Path, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2"}
    line = Line()
    train(line, RECIPE, a_run(folder, steps=3, team=Team(rank, 2).join()))
    torch.save(line.module.state_dict(), folder / f"raw-{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_share_the_batch_and_keep_the_same_weights(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    port = 20_000 + os.getpid() % 10_000
    members = [
        context.Process(target=_member, args=(rank, tmp_path, port), daemon=True)
        for rank in range(2)
    ]
    for member in members:
        member.start()
    for member in members:
        member.join(60)
    assert [member.exitcode for member in members] == [0, 0]
    one, other = (torch.load(tmp_path / f"raw-{r}.pt", weights_only=True) for r in range(2))
    assert torch.equal(one["2.weight"], other["2.weight"])
    assert not torch.equal(one["0.running_mean"], other["0.running_mean"])  # other pictures
    assert [line["rows"] for line in lines(a_run(tmp_path)) if "rows" in line] == []
    assert exported(tmp_path)["2.weight"].shape == (1, 3)
