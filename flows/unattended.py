"""What each flow does so that nobody has to watch it: wait, try again, end in time."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import get_run_logger

from flows.artifacts import Cell, publish_table
from flows.finishing import leaves_quickly, signals_as_they_are
from flows.limits import time_limit
from flows.locks import root_lock
from flows.retries import DELAYS_S, retried
from flows.suspension import begun_before

C = TypeVar("C", bound=Any)
P = ParamSpec("P")
R = TypeVar("R")


def unattended(
    writes: Callable[[C], str | tuple[str, str]] | None = None,
) -> Callable[[Callable[Concatenate[C, P], R]], Callable[Concatenate[C, P], R]]:
    """A flow's function, with the lock of the place that it writes to, retries and a time limit.

    Only a run that nobody waits for (one of a deployment) is tried again by itself; in a terminal
    an error ends the command at once, and the same command goes on from what is committed. A try
    after the first resumes.

    Args:
        writes: of the parameters: the root that only one run may write to, or a folder and the part
            of it; none: the flow's subflows see to it.
    """

    def decorate(function: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
        @wraps(function)
        def run(params: C, /, *args: P.args, **kwargs: P.kwargs) -> R:
            def attempt(number: int) -> R:
                is_again = number > 0 or begun_before()
                return function(_resumed(params) if is_again else params, *args, **kwargs)

            delays_s = DELAYS_S if nobody_waits() else ()
            limits = getattr(params, "limits", None)
            with (
                leaves_quickly() if nobody_waits() else nullcontext(),
                signals_as_they_are(),
                _lock(params, writes),
                time_limit(limits) if limits else nullcontext(),
            ):
                return retried(attempt, say=_Said(len(delays_s)), delays_s=delays_s)

        return run

    return decorate


def nobody_waits() -> bool:
    """Whether this process is a worker's, and not a person's."""
    return bool(os.environ.get("PREFECT__FLOW_RUN_ID"))


def _lock(params: C, writes: Callable[[C], str | tuple[str, str]] | None) -> Any:
    if writes is None:
        return nullcontext()
    place = writes(params)
    folder, part = (place, "") if isinstance(place, str) else place
    return root_lock(folder, params.limits, what=part)


def _resumed(params: C) -> C:
    if "resume" not in type(params).model_fields:
        return params
    return params.model_copy(update={"resume": True})


class _Said:
    """Tells of each try that failed: in the log, and in a table of the run's page."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: list[dict[str, Cell]] = []

    def __call__(self, number: int, error: Exception, pause_s: float) -> None:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        get_run_logger().warning(
            "try %d of %d failed by what may pass: %s; the next in %.0f s, from what is committed",
            number + 1, self._most + 1, reason, pause_s,
        )  # fmt: skip
        row: dict[str, Cell] = {"try": number + 1, "reason": reason, "pause s": round(pause_s)}
        self._rows.append(row)
        publish_table("tried-again", self._rows, description="What passed by itself, or will")
