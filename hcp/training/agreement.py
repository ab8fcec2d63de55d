"""What all ranks of a training agree on in each step: in one small all-reduce.

A loss that is not finite on one rank, a wish to stop on one rank, a sample that one rank could not
read: each is known to all ranks at the same step, so that they skip, stop or fail together and no
one waits for the others' gradients for ever.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

import torch

from hcp.training.batches import BadSample
from storage.errors import HcpError

T = TypeVar("T")

Bad = dict[str, dict[str, str]]
"""Shard: key: reason, of samples that could not be read; the key "" stands for all of a shard."""


@dataclass(slots=True, kw_only=True)
class Agreement:
    """The ranks' common knowledge; the same on every rank after each step."""

    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    stop_asked: Callable[[], bool] = lambda: False  # whether this rank was asked to stop
    save_asked: Callable[[], bool] = lambda: False  # whether it was asked for a checkpoint, once
    shard_size: Callable[[str], int] = lambda _: 1  # samples of a shard that hides its keys
    stop: bool = False  # some rank was asked to stop
    save: bool = False  # some rank was asked for a checkpoint, after this step
    skipped: int = 0  # steps so far whose loss or gradient was not finite
    skipped_in_row: int = 0
    bad: Bad = field(default_factory=dict[str, dict[str, str]])

    @property
    def bad_samples(self) -> int:
        """Distinct samples of the split that could not be read so far."""
        return sum(
            self.shard_size(shard) if "" in keys else len(keys) for shard, keys in self.bad.items()
        )

    def settle(self, losses: Sequence[float], *, bad: Sequence[BadSample] = ()) -> list[float]:
        """The losses' means over the ranks; not finite where one rank's is not.

        Raises:
            HcpError: another rank called :meth:`fail`.
        """
        return self._exchange(losses, bad=bad, problem=None)

    def fail(self, problem: str, *, n_losses: int) -> None:
        """Tell the others, who settle ``n_losses`` losses now, that this rank cannot go on.

        Raises:
            HcpError: always, on every rank, with the first rank's problem.
        """
        self._exchange([0.0] * n_losses, bad=(), problem=problem)

    def count(self, *, finite: bool) -> None:
        """Count a step that was taken or skipped."""
        self.skipped += not finite
        self.skipped_in_row = 0 if finite else self.skipped_in_row + 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it, JSON-able."""
        return {"skipped": self.skipped, "in_row": self.skipped_in_row, "bad": self.bad}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`; a checkpoint of the version before has none."""
        self.skipped, self.skipped_in_row = state.get("skipped", 0), state.get("in_row", 0)
        self.bad = {shard: dict(keys) for shard, keys in state.get("bad", {}).items()}

    def _exchange(
        self, losses: Sequence[float], *, bad: Sequence[BadSample], problem: str | None
    ) -> list[float]:
        new = [each for each in bad if each.key not in self.bad.get(each.shard, {})]
        flags = (self.stop_asked(), self.save_asked(), bool(new), problem is not None)
        stop, save, found, failed, *sums = self._sum([*map(float, flags), *losses])
        self.stop, self.save = self.stop or stop > 0, save > 0
        if failed:
            problems: list[str | None] = gathered(problem, self.world_size)
            raise HcpError(next(text for text in problems if text is not None))
        if found:  # seldom, so that names and reasons cost nothing in all other steps
            for each in chain(*gathered(new, self.world_size)):
                self.bad.setdefault(each.shard, {})[each.key] = each.reason
        return [value / self.world_size for value in sums]

    def _sum(self, values: Sequence[float]) -> list[float]:
        if self.world_size == 1:
            return list(values)
        vector = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(vector)
        return [float(value) for value in vector.tolist()]


def gathered(value: T, world_size: int) -> list[T]:
    """Every rank's value, by rank; all ranks must ask."""
    if world_size == 1:
        return [value]
    values: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(values, value)
    return values


def all_finite(values: Sequence[float]) -> bool:
    """Whether no value is infinite or not a number."""
    return all(math.isfinite(value) for value in values)
