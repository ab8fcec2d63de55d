"""What a training is told: recipe, budget, processes, files; all trainings' one command line."""

import argparse
import logging
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

T = TypeVar("T")
R = TypeVar("R", bound="Recipe")
WORK = Path("hcp-trainings")
"""Where scenes, checkpoints and logs lie, unless the command line says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What decides the weights, besides the renderer and the training's own constants."""

    seed: int = 1
    scenes: int = 8000  # drawn scenes of the training range
    batch_size: int = 32  # over all processes
    peak_learning_rate: float = 1e-3
    weight_decay: float = 0.02  # of everything but biases and norms
    second_beta: float = 0.99  # of Adam; the first is 0.9
    max_norm: float = 1.0  # of the gradients
    ema_decay: float = 0.998


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A training ends after ``steps`` or, with the same annealing, after ``minutes``.

    Minutes are the processor's, of one process: a busy machine makes a training last longer, not
    learn less. A run that ends by steps repeats bit for bit on the same machine; one that ends by
    minutes does not, and its record says so.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = [limit for limit in (self.steps, self.minutes) if limit is not None]
        if not given or min(given) <= 0:
            raise ValueError(f"Budget: steps or minutes must be given and positive, got {self}")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share of the training that is done, in [0, 1]."""
        by_steps = step / self.steps if self.steps else 0.0
        return min(1.0, max(by_steps, elapsed_s / (60.0 * self.minutes) if self.minutes else 0.0))

    def record(self, step: int, elapsed_s: float) -> dict[str, int | float | str]:
        """What a finished run used, for the record beside its weights."""
        return {
            "steps": step,
            "processor_minutes": round(elapsed_s / 60, 1),
            "ended_by": "steps" if self.steps and step >= self.steps else "minutes",
        }


def learning_rate(progress: float, *, warm_up: float = 0.03) -> float:
    """Share of the peak: linear warm-up, then half a cosine down to 1 %.

    By progress and not by step, as torch's schedulers are: with a budget in minutes nobody knows
    the number of steps.
    """
    if progress < warm_up:
        return max(progress, 1e-3) / warm_up
    return 0.505 + 0.495 * math.cos(math.pi * (progress - warm_up) / (1.0 - warm_up))


@dataclass(frozen=True, slots=True)
class Team:
    """The processes that train together (torchrun's); one alone needs no torch.distributed."""

    rank: int = 0
    world: int = 1

    def join(self) -> "Team":
        """Meet the other processes."""
        if self.world > 1 and not dist.is_initialized():
            dist.init_process_group("gloo", timeout=timedelta(hours=6))  # one may draw for long
        return self

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Average the tensors over the processes in place, in one message."""
        if self.world > 1:
            together = parameters_to_vector(tensors)
            dist.all_reduce(together)
            vector_to_parameters(together / self.world, tensors)

    def first(self, make: Callable[[], T]) -> T:
        """What ``make`` returns: process 0 makes and stores it, then the others find it stored."""
        if self.rank > 0:
            dist.barrier()
        made = make()
        if self.rank == 0 and self.world > 1:
            dist.barrier()
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How long a training runs, and where its files stand."""

    name: str  # of the files in ``work``: checkpoint, log, the exports on the way
    budget: Budget
    work: Path
    out: Path  # the final export
    team: Team = field(default_factory=Team)
    checkpoint_every_s: float = 180.0  # of the processor
    log_every_steps: int = 25
    command: str = ""  # for the record

    @property
    def checkpoint(self) -> Path:
        """What a killed run goes on from."""
        return self.work / f"{self.name}.pt"

    @property
    def log(self) -> Path:
        """The run's JSON lines: means over the last steps, and held-out scores at checkpoints."""
        return self.work / f"{self.name}.jsonl"


def read_command(
    argv: Sequence[str] | None, *, recipe: R, run: Run, about: str | None
) -> tuple[R, Run]:
    """The recipe and the run that the command line asks for; ``recipe`` and ``run`` are defaults.

    Joins torchrun's other processes, if there are any.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, help=f"of the processor ({run.budget.minutes:g})")
    parser.add_argument("--steps", type=int, help="alone, the run can be repeated bit for bit")
    for name, value in asdict(recipe).items():
        parser.add_argument(_option(name), type=type(value), default=value)
    parser.add_argument("--checkpoint-minutes", type=float, default=run.checkpoint_every_s / 60)
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--work", type=Path, default=run.work, help="scenes, checkpoints, logs")
    parser.add_argument("--out", type=Path, default=run.out, help="the weights")
    given = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(given.threads)
    asked = {name: getattr(given, name) for name in asdict(recipe)}
    minutes = given.minutes or (None if given.steps else run.budget.minutes)
    told = {"minutes": minutes, "steps": given.steps}
    told |= {name: value for name, value in asked.items() if value != getattr(recipe, name)}
    words = [f"{_option(name)} {_word(value)}" for name, value in told.items() if value is not None]
    team = Team(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))).join()
    start = f"torchrun --nproc-per-node {team.world}" if team.world > 1 else "python"
    return type(recipe)(**asked), replace(
        run,
        budget=Budget(steps=given.steps, minutes=minutes),
        work=given.work,
        out=given.out,
        team=team,
        checkpoint_every_s=60 * given.checkpoint_minutes,
        command=" ".join([f"{start} -m demo.train.{run.name}", *words]),
    )


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
