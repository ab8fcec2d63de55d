"""How far a training is, from steps and from minutes: one number in [0, 1] that drives it all."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A training ends after ``steps``, or earlier, with the same annealing, after ``minutes``.

    Which minutes is the matter of the ``Stopwatch``.

    A run that ends by steps repeats bit for bit on the same machine; one that ends by minutes does
    not, and its record says so.
    """

    steps: int
    minutes: float

    def __post_init__(self) -> None:
        if self.steps < 1 or self.minutes <= 0:
            raise ValueError(f"Budget: steps and minutes must be positive, got {self}")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share of the training that is done, in [0, 1]."""
        return min(1.0, max(step / self.steps, elapsed_s / (60.0 * self.minutes)))

    def record(self, step: int, elapsed_s: float) -> dict[str, int | float | str]:
        """What a finished run used, for the record beside its weights."""
        return {
            "steps": step,
            "processor_minutes": round(elapsed_s / 60, 1),
            "ended_by": "steps" if step >= self.steps else "minutes",
        }


def learning_rate(progress: float, *, peak: float, warm_up: float = 0.03) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    if progress < warm_up:
        return peak * (progress + 1e-3) / warm_up
    share = (progress - warm_up) / (1.0 - warm_up)
    return peak * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * share)))


class Stopwatch:
    """Seconds of training, over all the runs that a checkpoint has seen.

    With ``clock=time.process_time`` they are the processor's, so that a busy machine makes a
    training last longer, not learn less.
    """

    def __init__(self, before_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock() - before_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the very first start."""
        return self._clock() - self._start
