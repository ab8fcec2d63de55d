"""The series that our runs give to Ray's metrics endpoint, and the values that they take.

Plain data: ``flows.ray_metrics`` records them, ``deploy/grafana/hcp.json`` shows them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hcp.training.metrics import StepMetrics
    from hcp.training.watching import Validation
    from priors.reports import PoolReport, UnitReport

COMMON = ("flow", "run")  # labels of every series: the flow's name and its run's
MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series; Ray adds labels of its own (node, worker, session)."""

    name: str
    kind: Literal["counter", "gauge"]
    description: str
    labels: tuple[str, ...] = ()  # besides ``COMMON``

    @property
    def exported(self) -> str:
        """As Prometheus sees it."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """What a series takes: a counter is raised by it, a gauge is set to it."""

    series: Series
    number: float
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


_BY_NAME: dict[str, Series] = {}
SERIES: Mapping[str, Series] = _BY_NAME
"""All that are made below, by their names."""


def _series(kind: Literal["counter", "gauge"], name: str, description: str, *labels: str) -> Series:
    made = Series(name=name, kind=kind, description=description, labels=labels)
    return _BY_NAME.setdefault(name, made)


_counter, _gauge = partial(_series, "counter"), partial(_series, "gauge")

UNITS = _counter("hcp_units", "units, shards or parts done")
PHOTOS = _counter("hcp_photos", "photos that were computed, or pictures drawn", "outcome")
REJECTS = _counter("hcp_rejects", "photos that were rejected", "reason")
STAGE_SECONDS = _counter("hcp_stage_seconds", "seconds of work, summed over workers", "stage")
PHOTOS_PER_SECOND = _gauge("hcp_photos_per_second", "photos a second since the run began")
MODELS_BUSY = _gauge("hcp_models_busy", "share of one worker's time that its models worked, 0 to 1")
WORKERS = _gauge("hcp_workers", "1 for each worker that has loaded its models")
WORKER_DEATHS = _counter("hcp_worker_deaths", "workers that died and were replaced")

STEP = _gauge("hcp_step", "optimizer steps done")
STEPS = _gauge("hcp_steps", "optimizer steps that the training is to take")
STEP_SECONDS = _gauge("hcp_step_seconds", "seconds of one optimizer step, waiting included")
LOSS = _gauge("hcp_loss", "losses of a step, means over the workers", "part")
VALIDATION_LOSS = _gauge("hcp_validation_loss", "denoising loss of held-out photos")
ATTENTION_SHARE = _gauge("hcp_attention_share", "of human words' attention, inside person masks")
TRAINED_PER_SECOND = _gauge("hcp_trained_photos_per_second", "photos a second of all workers")
LEARNING_RATE = _gauge("hcp_learning_rate", "of the step")
GRADIENT_NORM = _gauge("hcp_gradient_norm", "before clipping")
DATA_WAIT = _gauge("hcp_data_wait", "share of a step that went by waiting for its batches, 0 to 1")
DEVICE_MEMORY = _gauge("hcp_device_memory_bytes", "most that a worker took of its device")
SKIPPED_STEPS = _gauge("hcp_skipped_steps", "steps so far whose loss or gradient was not finite")
BAD_SAMPLES = _gauge("hcp_bad_samples", "distinct training samples that could not be read")


def unit_values(report: "UnitReport") -> Iterator[Value]:
    """Of one unit; one that was committed already adds no photos."""
    yield Value(series=UNITS, number=1)
    if report.skipped:
        return
    yield Value(series=PHOTOS, number=report.n_samples, labels={"outcome": "kept"})
    yield Value(series=PHOTOS, number=report.n_rejects, labels={"outcome": "rejected"})
    for reason, count in report.rejects_by_reason.items():
        yield Value(series=REJECTS, number=count, labels={"reason": reason})
    for stage, seconds in report.stage_seconds.items():
        yield Value(series=STAGE_SECONDS, number=seconds, labels={"stage": stage})


def pool_values(pool: "PoolReport") -> Iterator[Value]:
    """Of a run over units that has ended."""
    yield Value(series=WORKER_DEATHS, number=pool.n_deaths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a training's step comes to."""

    steps: int  # of the whole training
    images: int  # of one worker and step
    workers: int


def step_values(metrics: "StepMetrics", pace: Pace) -> Iterator[Value]:
    """Of one optimizer step."""
    yield Value(series=STEP, number=metrics.step)
    yield Value(series=STEPS, number=pace.steps)
    if metrics.images_per_s > 0:
        yield Value(series=STEP_SECONDS, number=pace.images / metrics.images_per_s)
    yield Value(series=TRAINED_PER_SECOND, number=metrics.images_per_s * pace.workers)
    for part in ("loss", "denoise", "alignment"):
        yield Value(series=LOSS, number=getattr(metrics, part), labels={"part": part})
    yield Value(series=LEARNING_RATE, number=metrics.learning_rate)
    yield Value(series=GRADIENT_NORM, number=metrics.grad_norm)
    yield Value(series=SKIPPED_STEPS, number=metrics.skipped)
    yield Value(series=BAD_SAMPLES, number=metrics.bad_samples)
    if metrics.attention_share is not None:
        yield Value(series=ATTENTION_SHARE, number=metrics.attention_share)
    if metrics.data_wait is not None:
        yield Value(series=DATA_WAIT, number=metrics.data_wait)
    if metrics.device_memory_mib is not None:
        yield Value(series=DEVICE_MEMORY, number=metrics.device_memory_mib * MIB)


def validation_values(seen: "Validation") -> Iterator[Value]:
    """Of held-out photos after a step."""
    yield Value(series=VALIDATION_LOSS, number=seen.loss)


def is_recordable(value: Value) -> bool:
    """Whether the series can take it: finite, and no counter raised by nothing."""
    return isfinite(value.number) and (value.series.kind == "gauge" or value.number > 0)
