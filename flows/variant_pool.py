"""Several variants at a time, and how they all stop."""

import concurrent.futures
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import Progress
from flows.finishing import finishing
from flows.outcomes import VariantOutcome
from flows.ray_session import cancel_remote
from flows.variant_run import VariantJob, run_variant
from hcp.training.stopping import ask_all
from storage.errors import HcpError, TrainingStoppedError

_POLL_S = 0.5
_REASON = 400  # characters of a failure


def run_all(
    jobs: Sequence[VariantJob], *, at_a_time: int
) -> tuple[list[VariantOutcome], dict[str, str]]:
    """Run them, so many at a time; the outcomes in the jobs' order, and why others have none.

    Each runs in a thread of its own, which does nothing but wait for Ray.

    Raises:
        TerminationSignal, KeyboardInterrupt: one came, and none is running any more.
    """
    asked = threading.Event()
    return finishing(partial(_run_all, jobs, at_a_time, asked), ask=asked.set)


def _run_all(
    jobs: Sequence[VariantJob], at_a_time: int, asked: threading.Event
) -> tuple[list[VariantOutcome], dict[str, str]]:
    with ThreadPoolTaskRunner(max_workers=at_a_time) as runner:
        futures: list[Any] = [
            runner.submit(run_variant, parameters={"job": job, "stopping": asked.is_set})
            for job in jobs
        ]
        wait_for(futures, asked)
    if asked.is_set():
        raise TrainingStoppedError(
            "the ablation stopped, as asked; started again with the same parameters it goes on"
        )
    return collect(jobs, futures)


def wait_for(futures: Sequence[Any], asked: threading.Event) -> None:
    """Wait for all; once asked to stop, hand that on to everything that runs on Ray."""
    left, told = {future.wrapped_future for future in futures}, len(futures)
    with Progress("ablate", total=told, unit="trainings") as progress:
        while left:
            _, left = concurrent.futures.wait(left, timeout=_POLL_S)
            if asked.is_set():
                ask_all()
                cancel_remote()
            elif len(left) < told:
                told = len(left)
                progress.update(len(futures) - told)


def collect(
    jobs: Sequence[VariantJob], futures: Sequence[Any]
) -> tuple[list[VariantOutcome], dict[str, str]]:
    """The outcomes of those that ended well, and for the others one sentence why."""
    outcomes: list[VariantOutcome] = []
    failed: dict[str, str] = {}
    for job, future in zip(jobs, futures, strict=True):
        try:
            outcomes.append(future.result())
        except Exception as error:  # whatever it was, it ended this one alone
            failed[job.title] = reason(error)
    return outcomes, failed


def reason(error: Exception) -> str:
    """Why a variant failed, in one line."""
    said = " ".join(str(error).split()) or "no message"
    return (said if isinstance(error, HcpError) else f"{type(error).__name__}: {said}")[:_REASON]
