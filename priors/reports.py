"""What extraction tells its users: one report per unit, one per run."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

from storage.markers import ShardInfo

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReport:
    """One unit, as its extractor saw it."""

    fingerprint: str
    n_samples: int
    n_rejects: int
    rejects_by_reason: Mapping[str, int]
    stage_seconds: Mapping[str, float]  # read, decode (summed over threads), pose, masks, write
    model_seconds: float  # pose + masks
    seconds: float  # wall
    skipped: bool  # committed already: nothing was computed
    mended: Mapping[str, int] = field(default_factory=dict[str, int])  # masks, holes, specks

    @classmethod
    def of(cls, info: ShardInfo, clock: "StageClock", *, skipped: bool) -> "UnitReport":
        """The report of a committed unit; ``write`` is what the commit took besides waiting."""
        stages = clock.seconds()
        if not skipped:
            stages["write"] = round(stages.pop("commit") - stages.pop("wait", 0.0), 3)
        return cls(
            fingerprint=info.fingerprint,
            n_samples=info.n_samples,
            n_rejects=info.n_rejects,
            rejects_by_reason=dict(info.rejects_by_reason),
            stage_seconds=stages,
            model_seconds=stages.get("pose", 0.0) + stages.get("masks", 0.0),
            seconds=round(perf_counter() - clock.started, 3),
            skipped=skipped,
            mended=clock.counts(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolReport:
    """A whole run over many units."""

    n_units: int
    n_skipped: int  # units that were committed already
    n_samples: int
    n_rejects: int
    rejects_by_reason: Mapping[str, int]
    stage_seconds: Mapping[str, float]
    n_actors: int
    n_deaths: int  # workers that died and were replaced
    poison: tuple[str, ...]  # keys of the samples that killed them
    seconds: float  # wall
    images_per_s: float  # of units that were computed
    busy_fraction: float  # of the actors' time, spent in models
    mended: Mapping[str, int] = field(default_factory=dict[str, int])  # of units computed


@dataclass(slots=True)
class ReportSum:
    """Adds unit reports up to a pool report."""

    started: float = field(default_factory=perf_counter)
    n_units: int = 0
    n_skipped: int = 0
    n_samples: int = 0
    n_rejects: int = 0
    n_computed: int = 0
    model_seconds: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter[str])
    stages: dict[str, float] = field(default_factory=dict[str, float])
    mended: Counter[str] = field(default_factory=Counter[str])

    def add(self, report: UnitReport) -> None:
        """Count one unit."""
        self.n_units += 1
        self.n_skipped += report.skipped
        self.n_samples += report.n_samples
        self.n_rejects += report.n_rejects
        self.reasons.update(report.rejects_by_reason)
        self.mended.update(report.mended)
        if not report.skipped:
            self.n_computed += report.n_samples + report.n_rejects
            self.model_seconds += report.model_seconds
            for stage, seconds in report.stage_seconds.items():
                self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def total(
        self, *, n_actors: int = 1, n_deaths: int = 0, poison: tuple[str, ...] = ()
    ) -> PoolReport:
        """The sum so far; the clock has run since construction."""
        seconds = perf_counter() - self.started
        return PoolReport(
            n_units=self.n_units,
            n_skipped=self.n_skipped,
            n_samples=self.n_samples,
            n_rejects=self.n_rejects,
            rejects_by_reason=dict(self.reasons),
            mended=dict(self.mended),
            stage_seconds={stage: round(s, 3) for stage, s in self.stages.items()},
            n_actors=n_actors,
            n_deaths=n_deaths,
            poison=poison,
            seconds=round(seconds, 3),
            images_per_s=round(self.n_computed / seconds, 3) if seconds else 0.0,
            busy_fraction=round(self.model_seconds / (seconds * n_actors), 4) if seconds else 0.0,
        )


class StageClock:
    """Seconds per stage of one unit, and what is counted beside them."""

    def __init__(self) -> None:
        self.started = perf_counter()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds that were measured elsewhere."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def count(self, **numbers: int) -> None:
        """Add to what is counted under these names."""
        self._counts.update(numbers)

    def counts(self) -> dict[str, int]:
        """What was counted so far, by name."""
        return dict(self._counts)

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Time a block."""
        start = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - start)

    def timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """The same items; the time that it takes to make them is counted."""
        iterator = iter(items)
        while True:
            with self.stage(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def seconds(self) -> dict[str, float]:
        """What was counted so far, rounded to ms."""
        return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}
