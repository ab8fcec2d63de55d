"""Series of our runs in Ray's metrics endpoint: thin shells around ``flows.series``.

Nothing that fails here ends a run: it is said once.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prefect.runtime import flow_run

from flows.series import (
    COMMON,
    MODELS_BUSY,
    PHOTOS_PER_SECOND,
    WORKERS,
    Pace,
    Value,
    is_recordable,
    pool_values,
    step_values,
    unit_values,
    validation_values,
)
from storage.records import SourceRecord, Unit

if TYPE_CHECKING:
    from hcp.training.watching import Event
    from priors.pool import UnitWorker
    from priors.reports import PoolReport, UnitReport

logger = logging.getLogger(__name__)

REFRESH_S = 1.0  # Ray's shortest interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLabels:
    """Whose values they are."""

    flow: str
    run: str

    @classmethod
    def now(cls) -> "RunLabels":
        """Of the flow run that this is a part of; empty where there is none."""
        try:
            return cls(flow=str(flow_run.flow_name or ""), run=str(flow_run.name or ""))
        except Exception as error:  # Prefect may ask its server for the names
            logger.warning("Ray's metrics go without the run's name: %r", error)
            return cls(flow="", run="")


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Takes values into Ray's series, which it makes when they are needed first.

    Ray forgets a gauge that is not set for two of its intervals, 20 s: it is set again and again
    until the recorder is closed, or its process ends.
    """

    labels: RunLabels = field(default_factory=RunLabels.now)
    _made: dict[str, Any] = field(default_factory=dict[str, Any])
    _gauges: dict[tuple[str, ...], Value] = field(default_factory=dict[tuple[str, ...], Value])
    _failed: bool = False
    _thread: threading.Thread | None = None
    _closed: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, values: Iterable[Value]) -> None:
        """Record them."""
        try:
            with self._lock:
                for value in values:
                    if is_recordable(value):
                        self._record(value)
        except Exception as error:  # whatever Ray raises, or a value that is none
            if not self._failed:
                self._failed = True
                logger.warning("Ray's metrics take no values, the run goes on: %r", error)

    def close(self) -> None:
        """Let go of the gauges; Ray forgets them soon."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _record(self, value: Value) -> None:
        from ray.util import metrics

        series = value.series
        if series.name not in self._made:
            kind: Any = metrics.Counter if series.kind == "counter" else metrics.Gauge
            keys = (*COMMON, *series.labels)
            self._made[series.name] = kind(series.name, series.description, tag_keys=keys)
        tags = {"flow": self.labels.flow, "run": self.labels.run, **value.labels}
        made = self._made[series.name]
        if series.kind == "counter":
            made.inc(value.number, tags=tags)
            return
        made.set(value.number, tags=tags)
        self._gauges[(series.name, *value.labels.values())] = value
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep, daemon=True, name="ray-metrics")
            self._thread.start()

    def _keep(self) -> None:
        while not self._closed.wait(REFRESH_S):
            with self._lock:
                last = tuple(self._gauges.values())
            self(last)


class UnitMetrics:
    """Takes the reports of a pool's units."""

    def __init__(self) -> None:
        """The clock of photos a second runs from now."""
        self.record = Recorder()
        self._started, self._photos = perf_counter(), 0

    def __call__(self, report: "UnitReport") -> None:
        """Record one unit."""
        self.record(unit_values(report))
        if not report.skipped:
            self._photos += report.n_samples + report.n_rejects
            rate = self._photos / max(perf_counter() - self._started, 1e-6)
            self.record([Value(series=PHOTOS_PER_SECOND, number=rate)])

    def ended(self, pool: "PoolReport") -> None:
        """Record what is known of the pool as a whole."""
        self.record(pool_values(pool))

    def __enter__(self) -> "UnitMetrics":
        return self

    def __exit__(self, *_: object) -> None:
        self.record.close()


class TrainingMetrics:
    """Takes a training's events."""

    def __init__(self, pace: Pace) -> None:
        self._record, self._pace = Recorder(), pace

    def __call__(self, event: "Event") -> None:
        """Record a step or a validation."""
        from hcp.training.metrics import StepMetrics
        from hcp.training.watching import Validation

        if isinstance(event, StepMetrics):
            self._record(step_values(event, self._pace))
        elif isinstance(event, Validation):
            self._record(validation_values(event))

    def close(self) -> None:
        """The training has ended."""
        self._record.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """Makes a pool's worker inside an actor, one that says how busy its models are."""

    make: "Callable[[], UnitWorker]"
    labels: RunLabels = field(default_factory=RunLabels.now)

    def __call__(self) -> "MeteredWorker":
        """Load the models."""
        return MeteredWorker(self.make(), Recorder(labels=self.labels))


class MeteredWorker:
    """A worker, and the share of its time that its models work."""

    def __init__(self, worker: "UnitWorker", record: Recorder) -> None:
        self._worker, self._record = worker, record
        self._record([Value(series=WORKERS, number=1)])
        self._since = perf_counter()

    def process(self, unit: Unit, *, poison: Set[str]) -> "UnitReport":
        """As the worker does; the time counts from the unit before."""
        report = self._worker.process(unit, poison=poison)
        now = perf_counter()
        passed, self._since = now - self._since, now
        if report.model_seconds:
            share = min(1.0, report.model_seconds / max(passed, 1e-6))
            self._record([Value(series=MODELS_BUSY, number=share)])
        return report

    def probe(self, records: Sequence[SourceRecord]) -> int:
        """As the worker does."""
        return self._worker.probe(records)
