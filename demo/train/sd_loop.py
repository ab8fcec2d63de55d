"""One training loop for the tiny pipeline's stages: several processes, EMA, checkpoints, resume.

Processes each take their share of the batch and average their gradients (gloo), once per step:
on a crowded machine this wastes less than threads, which wait for each other in every operation.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from demo.train.schedule import Budget, Stopwatch, learning_rate

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopConfig:
    """How a stage is trained."""

    budget: Budget
    peak_lr: float = 1e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    seed: int = 0
    checkpoint_every_s: float = 180.0
    log_every: int = 25


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train together; one alone needs no torch.distributed."""

    rank: int = field(default_factory=lambda: int(os.environ.get("RANK", "0")))
    world: int = field(default_factory=lambda: int(os.environ.get("WORLD_SIZE", "1")))

    def join(self) -> None:
        """Meet the other processes (under torchrun)."""
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("gloo")

    def mean(self, values: Tensor) -> Tensor:
        """The values averaged over the processes, the same bits in each."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values


def _average_gradients(params: list[nn.Parameter], extra: Tensor, team: Team) -> Tensor:
    """Average all gradients in place, and ``extra`` with them (one message); return extra."""
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in params]
    flat = team.mean(torch.cat([*(g.reshape(-1) for g in grads), extra]))
    offset = 0
    for param, grad in zip(params, grads, strict=True):
        param.grad = flat[offset : offset + grad.numel()].view_as(param).clone()
        offset += grad.numel()
    return flat[offset:]


class Averages:
    """Exponential moving averages of the trained parameters."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        self.values = [p.detach().clone() for p in params]

    @torch.no_grad()
    def update(self, params: list[nn.Parameter], *, decay: float, step: int) -> None:
        """Move towards the parameters; early steps forget faster."""
        rate = 1.0 - min(decay, (1.0 + step) / (10.0 + step))
        for value, param in zip(self.values, params, strict=True):
            value.lerp_(param, rate)

    @torch.no_grad()
    def copy_to(self, params: list[nn.Parameter]) -> None:
        """Write the averages into the parameters."""
        for param, value in zip(params, self.values, strict=True):
            param.copy_(value)


def train(
    modules: Mapping[str, nn.Module],
    loss_of: Callable[[int, int], Tensor],
    *,
    config: LoopConfig,
    team: Team,
    checkpoint: Path,
    on_checkpoint: Callable[[], None] | None = None,
) -> dict[str, float]:
    """Train the modules on ``loss_of(step, rank)``; leave the averaged weights in them.

    Resumes from ``checkpoint`` where it exists. ``on_checkpoint`` runs on rank 0 with the averaged
    weights in place. Returns steps, minutes and the last losses' mean.
    """
    team.join()
    run = _Run([p for module in modules.values() for p in module.parameters()], config)
    if checkpoint.is_file():
        run.resume(checkpoint)
    watch, saved_s, loss_mean = Stopwatch(run.elapsed_s), run.elapsed_s, None
    while run.progress < 1.0:
        loss = run.advance(loss_of, team, watch)
        loss_mean = loss if loss_mean is None else 0.98 * loss_mean + 0.02 * loss
        if team.rank > 0:
            continue
        if run.step % config.log_every == 0:
            logger.info("step %d, %.1f min, loss %.4f, progress %.3f",
                        run.step, run.elapsed_s / 60, loss_mean, run.progress)  # fmt: skip
        if run.elapsed_s - saved_s > config.checkpoint_every_s:
            saved_s = run.elapsed_s
            run.save(checkpoint)
            if on_checkpoint is not None:
                with _Averaged(run.params, run.ema):
                    on_checkpoint()
    if team.rank == 0:
        run.save(checkpoint)
    run.ema.copy_to(run.params)
    return {"steps": run.step, "minutes": run.elapsed_s / 60, "loss": loss_mean or 0.0}


class _Run:
    """A training under way: what a checkpoint holds, and one step of it."""

    def __init__(self, params: list[nn.Parameter], config: LoopConfig) -> None:
        self.params, self.config = params, config
        self.optimizer = torch.optim.AdamW(
            params, lr=config.peak_lr, weight_decay=config.weight_decay, betas=(0.9, 0.99)
        )
        self.ema = Averages(params)
        self.step, self.elapsed_s = 0, 0.0

    @property
    def progress(self) -> float:
        return self.config.budget.progress(self.step, self.elapsed_s)

    def advance(self, loss_of: Callable[[int, int], Tensor], team: Team, watch: Stopwatch) -> float:
        """One optimizer step; the loss averaged over the team."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.progress, peak=self.config.peak_lr)
        self.optimizer.zero_grad(set_to_none=True)
        torch.manual_seed((self.config.seed * 1_000_003 + self.step) * team.world + team.rank)
        loss = loss_of(self.step, team.rank)
        loss.backward()
        # the clock travels with the gradients, so that every process has the same progress
        extra = torch.tensor([loss.item(), watch.elapsed_s])
        mean_loss, self.elapsed_s = _average_gradients(self.params, extra, team).tolist()
        nn.utils.clip_grad_norm_(self.params, 1.0)
        self.optimizer.step()
        self.ema.update(self.params, decay=self.config.ema_decay, step=self.step)
        self.step += 1
        return mean_loss

    def save(self, path: Path) -> None:
        """Write the checkpoint; a half-written one never has its name."""
        state: dict[str, Any] = {
            "params": [p.detach() for p in self.params],
            "ema": self.ema.values,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        os.replace(partial, path)

    @torch.no_grad()
    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        for param, value in zip(self.params, state["params"], strict=True):
            param.copy_(value)
        self.ema.values = state["ema"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.elapsed_s = int(state["step"]), float(state["elapsed_s"])
        logger.info("resumed at step %d from %s", self.step, path)


class _Averaged:
    """The averaged weights in place of the trained ones, inside a with block."""

    def __init__(self, params: list[nn.Parameter], ema: Averages) -> None:
        self._params, self._ema = params, ema
        self._kept = [p.detach().clone() for p in params]

    def __enter__(self) -> None:
        self._ema.copy_to(self._params)

    @torch.no_grad()
    def __exit__(self, *_: object) -> None:
        for param, value in zip(self._params, self._kept, strict=True):
            param.copy_(value)


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most ``size`` that cover range(n)."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
