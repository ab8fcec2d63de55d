"""The one training loop of the embedded models.

A ``Training`` says what differs: a network, its loss, what is exported and how that is judged. The
loop is the rest: learning rate, gradients averaged over processes, a moving average, checkpoints
from which a killed run goes on exactly, and a log of JSON lines.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from demo.train.command import Recipe, Run, learning_rate

_log = logging.getLogger(__name__)


Loss = tuple[Tensor, Mapping[str, float]]
"""Of a batch, and figures for the log."""


class Training(Protocol):
    """What one training differs in."""

    @property
    def module(self) -> nn.Module:
        """The network; its parameters that require gradients are trained."""
        ...

    def loss(self, rng: np.random.Generator, *, size: int, progress: float) -> Loss:
        """The loss of a batch of ``size``, and figures for the log.

        Chance comes from ``rng`` and from torch's global generator, both seeded for the step.
        """
        ...

    def export(self, module: nn.Module, folder: Path) -> None:
        """Write the averaged ``module``, which the loop goes on using, in its users' format."""
        ...

    def score(self, folder: Path, n_scenes: int) -> dict[str, float]:
        """Figures of an export on scenes that training never sees."""
        ...


def train(training: Training, recipe: Recipe, run: Run) -> dict[str, Any]:
    """Train to the end of the budget, from the checkpoint where there is one, and export.

    Returns:
        The record of the run, also written to ``TRAINING.json`` beside the weights.

    Raises:
        ValueError: the checkpoint is of another recipe.
        FloatingPointError: the loss is not finite; the last checkpoint stays.
    """
    loop = Loop(training, recipe, run)
    writes = run.team.rank == 0
    if writes:
        run.work.mkdir(parents=True, exist_ok=True)
        _keep_log(run.log, step=loop.step)
    saved_s, window = loop.elapsed_s, list[Mapping[str, float]]()
    while loop.progress < 1.0:
        window.append(loop.advance())
        if writes and loop.step % run.log_every_steps == 0:
            _note(run.log, **loop.place, **_means(window))
            window.clear()
        if loop.elapsed_s - saved_s >= run.checkpoint_every_s:
            saved_s = loop.elapsed_s
            if writes:
                loop.save()
                training.export(loop.averaged, run.work / run.name)
                _note(run.log, **loop.place, **training.score(run.work / run.name, 60))
    return run.team.first(lambda: _finish(training, loop) if writes else {})


def _finish(training: Training, loop: "Loop") -> dict[str, Any]:
    run = loop.run
    loop.save()
    training.export(loop.averaged, run.out)
    used = run.budget.record(loop.step, loop.elapsed_s)
    scores = {name: round(value, 4) for name, value in training.score(run.out, 200).items()}
    record = {**asdict(loop.recipe), **used, **scores, "command": run.command}
    (run.out / "TRAINING.json").write_text(json.dumps(record, indent=1) + "\n")
    _log.info("%s is done: %s", run.name, record)
    return record


class Loop:
    """A training under way: all that a checkpoint holds, and one step of it."""

    def __init__(self, training: Training, recipe: Recipe, run: Run) -> None:
        self.training, self.recipe, self.run = training, recipe, run
        self.parameters = [p for p in training.module.parameters() if p.requires_grad]
        decayed = {"params": [p for p in self.parameters if p.ndim > 1]}
        free = {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0}
        self.optimizer = torch.optim.AdamW(
            [decayed, free], betas=(0.9, recipe.second_beta), weight_decay=recipe.weight_decay
        )
        self._average = AveragedModel(
            training.module, multi_avg_fn=_moving_average(recipe.ema_decay), use_buffers=True
        )
        self.step, self.elapsed_s = 0, 0.0
        if run.checkpoint.is_file():
            self._resume()
        self._started_s = time.process_time() - self.elapsed_s

    @property
    def averaged(self) -> nn.Module:
        """The network with the moving averages of its parameters and statistics."""
        return self._average.module

    @property
    def progress(self) -> float:
        """Share of the budget that is used, the same in every process."""
        return self.run.budget.progress(self.step, self.elapsed_s)

    @property
    def place(self) -> dict[str, float]:
        """Where the training stands, for the log."""
        minutes = round(self.elapsed_s / 60, 2)
        return {"step": self.step, "minutes": minutes, "progress": round(self.progress, 4)}

    def advance(self) -> dict[str, float]:
        """One step, a function of the state and the step's number; the figures for the log."""
        recipe, team = self.recipe, self.run.team
        rate = recipe.peak_learning_rate * learning_rate(self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        grads = [torch.zeros_like(p) for p in self.parameters]  # also where a batch gives none
        for parameter, grad in zip(self.parameters, grads, strict=True):
            parameter.grad = grad
        rng = np.random.default_rng([recipe.seed, self.step, team.rank])
        torch.manual_seed(int(rng.integers(2**62)))
        loss, figures = self.training.loss(
            rng, size=recipe.batch_size // team.world, progress=self.progress
        )
        loss.backward()
        # the clock travels with the gradients, so that every process has the same progress
        shared = torch.tensor([float(loss.detach()), time.process_time() - self._started_s])
        team.mean([*grads, shared])
        mean_loss, self.elapsed_s = shared.tolist()
        if not math.isfinite(mean_loss):
            raise FloatingPointError(
                f"{self.run.name}: loss {mean_loss} at step {self.step}, learning rate {rate:.2e}; "
                f"go on from {self.run.checkpoint} with a lower --peak-learning-rate"
            )
        nn.utils.clip_grad_norm_(self.parameters, recipe.max_norm)
        self.optimizer.step()
        self._average.update_parameters(self.training.module)
        self.step += 1
        return {"learning_rate": rate, **figures, "loss": mean_loss}

    def save(self) -> None:
        """Write the checkpoint; a half-written one never has its name."""
        state = {
            "recipe": asdict(self.recipe),
            "module": self.training.module.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        partial = self.run.checkpoint.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.run.checkpoint)

    def _resume(self) -> None:
        state: dict[str, Any] = torch.load(self.run.checkpoint, weights_only=True)
        now, then = asdict(self.recipe), state["recipe"]
        other = {name: (then.get(name), now[name]) for name in now if then.get(name) != now[name]}
        if other.keys() - {"peak_learning_rate"}:
            raise ValueError(
                f"{self.run.checkpoint} is of another training (then, now): {other}; give its "
                "options again, or another --work"
            )
        self.training.module.load_state_dict(state["module"])
        self._average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = int(state["step"]), float(state["elapsed_s"])
        _log.info("resumed at step %d from %s", self.step, self.run.checkpoint)


def _moving_average(decay: float) -> Callable[..., None]:
    """The average's update; early steps forget faster, and whole numbers (counters) are copied."""

    @torch.no_grad()
    def update(kept: Sequence[Tensor], values: Sequence[Tensor], seen: Tensor) -> None:
        rate = 1.0 - min(decay, (1.0 + float(seen)) / (10.0 + float(seen)))
        for old, new in zip(kept, values, strict=True):
            if old.is_floating_point():
                old.lerp_(new, rate)
            else:
                old.copy_(new)

    return update


def _keep_log(path: Path, *, step: int) -> None:
    """Drop the lines after ``step``, which will be trained again, and a half-written last one."""
    text = path.read_text() if path.is_file() else ""
    whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    path.write_text("".join(line for line in whole if json.loads(line)["step"] <= step))


def _note(path: Path, **figures: float) -> None:
    line = json.dumps({name: round(value, 6) for name, value in figures.items()})
    with path.open("a") as file:
        file.write(line + "\n")
    _log.info("%s", line)


def _means(window: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in window])) for name in window[-1]}
