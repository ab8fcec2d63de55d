"""How far an evaluation's drawing is, in the UI: pictures and photos, their rate, what is left."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from flows.artifacts import Progress

if TYPE_CHECKING:
    from hcp.evaluation.drawing import DrawnHere

KEY, UNIT = "draw", "pictures"

Tell = Callable[["Drawn"], None]
"""Takes how far it is."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """How much of an evaluation's pictures and held-out photos went through the models."""

    done: int
    total: int
    arm: str = ""  # whose it was last
    seconds: float = 0.0  # that it took


class DrawProgress:
    """The progress artifact of one evaluation; takes the states in their order."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._total = progress, 0

    def __call__(self, drawn: Drawn) -> None:
        """Show one; nothing done is the beginning, also that of a task that is tried again."""
        if not drawn.done or drawn.total != self._total:
            self._total = drawn.total
            self._progress.begin(drawn.done, total=drawn.total)
            return
        done = min(drawn.done, drawn.total)  # what was kept, and is broken, is drawn after all
        self._progress.update(done, note(replace(drawn, done=done)))


def note(drawn: Drawn) -> str:
    """What stands beside the count: whose pictures, and how many a second."""
    rate = f"{drawn.done / drawn.seconds:.2g} {UNIT}/s" if drawn.seconds > 0 else ""
    doing = drawn.arm if drawn.done < drawn.total else "all drawn, judging"
    return ", ".join(part for part in (doing, rate) if part)


@contextmanager
def draw_progress() -> Generator[DrawProgress]:
    """Show it while the block runs."""
    with Progress(KEY, total=0, unit=UNIT) as progress:
        yield DrawProgress(progress)


def counted(here: "DrawnHere", *, n_photos: int, tell: Tell) -> "DrawnHere":
    """The same, and each batch that it draws or probes is told; runs where the models are.

    Args:
        here: what draws all of an evaluation.
        n_photos: held-out ones that each trained arm looks at.
        tell: takes how far it is.
    Raises:
        HcpError: as ``hcp.evaluation.tasks.plan``.
    """
    from hcp.evaluation.tasks import plan

    total = sum(part.size for part in plan(here, n_photos=n_photos, n_parts=1))
    drawn, started = Drawn(0, total), perf_counter()
    tell(drawn)

    def on_done(arm: str, more: int) -> None:
        nonlocal drawn
        drawn = Drawn(drawn.done + more, total, arm, perf_counter() - started)
        tell(drawn)

    return replace(here, on_done=on_done)
