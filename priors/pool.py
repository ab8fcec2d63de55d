"""Units of work on Ray actors: placement, two units in flight each, deaths and poison samples.

Ray must be initialised by the caller. Actors belong to the driver and die with
it; they are never restarted by Ray, so that the driver knows which unit killed one.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set, Sized
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import ray
import torch
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError

from priors.config import PoolConfig
from priors.extract import UNITS_IN_FLIGHT
from priors.poison import UnitTask
from priors.reports import PoolReport, ReportSum, UnitReport
from priors.room import GIB, fitted, nodes_of
from storage.errors import HcpError
from storage.records import SourceRecord, Unit

logger = logging.getLogger(__name__)

# torch's: a batch of one did not fit. Taken for a death, it is tried again, and the photo found.
_DEATHS = (RayActorError, OutOfMemoryError, NodeDiedError, ObjectLostError, torch.OutOfMemoryError)
_PATIENCE_S, _POLL_S = 30.0, 1.0


class PoolError(HcpError):
    """Workers keep dying and no single photo explains it."""


class UnitWorker(Protocol):
    """What an actor holds: ``priors.extract.Extractor``, or another that works unit by unit."""

    def process(self, unit: Unit, *, poison: Set[str]) -> UnitReport:
        """Compute and commit one unit without its poison."""
        ...

    def probe(self, records: Sequence[SourceRecord]) -> int:
        """Do all but the commit, to find out whether these records kill the process."""
        ...


class _Worker:
    """The actor: loads an extractor once and delegates."""

    def __init__(self, make_extractor: Callable[[], UnitWorker]) -> None:
        self._make_extractor = make_extractor

    def start(self) -> None:
        # not in __init__: an exception there would look like a death, here it has its own type
        self._extractor = self._make_extractor()

    def process(self, unit: Unit, poison: Set[str]) -> UnitReport:
        return self._extractor.process(unit, poison=poison)

    def probe(self, records: Sequence[SourceRecord]) -> int:
        return self._extractor.probe(records)


@dataclass(slots=True)
class _Slot:
    """One place for an actor, and what is running there."""

    actor: Any
    starting: Any  # reference to the result of start(); None once started
    running: dict[Any, UnitTask] = field(default_factory=dict[Any, UnitTask])
    exclusive: bool = False


def run_units(
    units: Iterable[Unit],
    *,
    make_extractor: Callable[[], UnitWorker],
    on_report: Callable[[UnitReport], None],
    config: PoolConfig | None = None,
    on_note: Callable[[str], None] = logger.warning,
    while_waiting: Callable[[], None] = lambda: None,
) -> PoolReport:
    """Run every unit on a pool of actors and report each as it is done, in no fixed order.

    A unit whose worker dies is tried again with a worker for itself; after ``max_attempts`` deaths
    its records are probed in halves until the ones that kill are alone; they are rejected as
    ``poison`` and the rest of the unit is committed.

    Args:
        units: taken as workers get free; may be a generator.
        make_extractor: called in each actor; must pickle.
        config: how many workers, within the cluster's room, and what each gets.
        on_note: takes what a person should know of the pool's size.
        while_waiting: called at least every second; what it raises ends the run and its workers.

    Raises:
        PoolError: workers die while starting, or of a unit in which no record is guilty alone.
        HcpError, OSError: whatever an extractor raises for a unit as a whole; the others stop.
    """
    config = config or PoolConfig()
    if isinstance(units, Sized):
        config = replace(config, count=max(1, min(config.count or len(units), len(units))))
    config, notes = fitted(config, nodes_of(ray.nodes()))
    for note in notes:
        on_note(note)
    actor_class: Any = ray.remote(_Worker).options(**_options(config))
    driver = _Driver(
        new_actor=lambda: actor_class.remote(make_extractor),
        fresh=iter(units),
        on_report=on_report,
        while_waiting=while_waiting,
        max_attempts=config.max_attempts,
    )
    try:
        driver.run(config.count)
    finally:
        for slot in driver.slots:
            ray.kill(slot.actor, no_restart=True)
    return driver.total.total(
        n_actors=config.count, n_deaths=driver.n_deaths, poison=tuple(sorted(driver.poison))
    )


def _options(config: PoolConfig) -> dict[str, Any]:
    return {
        "num_cpus": config.cpus_each,
        "num_gpus": config.gpus_each or 0.0,
        "memory": int((config.memory_gib_each or 0.0) * GIB) or None,
        "max_restarts": 0,
        "max_task_retries": 0,
        "max_concurrency": UNITS_IN_FLIGHT,
    }


class _Driver:
    """Hands out units, counts deaths, replaces actors."""

    def __init__(
        self,
        *,
        new_actor: Callable[[], Any],
        fresh: Iterator[Unit],
        on_report: Callable[[UnitReport], None],
        while_waiting: Callable[[], None],
        max_attempts: int,
    ) -> None:
        self.slots: list[_Slot] = []
        self.total = ReportSum()
        self.n_deaths = 0
        self.poison: set[str] = set()
        self._new_actor = new_actor
        self._fresh = fresh
        self._next = deque[Unit]()  # taken from there, for workers that have none yet
        self._while_waiting = while_waiting
        self._suspects: deque[UnitTask] = deque()
        self._on_report = on_report
        self._max_attempts = max_attempts
        self._start_deaths = 0

    def run(self, n_actors: int) -> None:
        """Until every unit is reported."""
        for _ in range(n_actors):
            actor = self._new_actor()
            self.slots.append(_Slot(actor=actor, starting=actor.start.remote()))
        while True:
            for slot in self.slots:
                self._feed(slot)
            waiting = [ref for slot in self.slots for ref in slot.running]
            starting = [slot.starting for slot in self.slots if slot.starting is not None]
            if not waiting and (not starting or not self._has_work()):
                return
            for ref in self._wait(waiting, starting):
                self._settle(ref)

    def _wait(self, waiting: list[Any], starting: list[Any]) -> list[Any]:
        """What has ended, one at least, or nothing for a while."""
        for _ in range(int(_PATIENCE_S / _POLL_S)):
            self._while_waiting()
            done, _ = ray.wait(waiting + starting, num_returns=1, timeout=_POLL_S)
            if done:
                return done
        if not waiting:
            logger.warning("no actor has started yet: is the cluster busy or too small?")
        return []

    def _has_work(self) -> bool:
        return bool(self._suspects) or self._looks_ahead(1)

    def _looks_ahead(self, n: int) -> bool:
        """Whether so many units are left that nobody has."""
        self._next.extend(islice(self._fresh, max(0, n - len(self._next))))
        return len(self._next) >= n

    def _feed(self, slot: _Slot) -> None:
        if slot.starting is not None or slot.exclusive:
            return
        if self._suspects:
            if not slot.running:  # else it drains first: a suspect needs a worker for itself
                slot.exclusive = True
                self._submit(slot, self._suspects.popleft())
            return
        while len(slot.running) < UNITS_IN_FLIGHT:
            # One ahead, as long as there are enough for those that have none yet.
            without = sum(not s.running for s in self.slots if s is not slot) if slot.running else 0
            if not self._looks_ahead(without + 1):
                return
            self._submit(slot, UnitTask(unit=self._next.popleft()))

    def _submit(self, slot: _Slot, task: UnitTask) -> None:
        group = task.next_group()
        if group is None:
            ref = slot.actor.process.remote(task.unit, task.poison)
        else:
            ref = slot.actor.probe.remote(group)
        slot.running[ref] = task

    def _settle(self, ref: Any) -> None:
        slot = next((s for s in self.slots if ref == s.starting or ref in s.running), None)
        if slot is None:
            return  # its actor died, and was replaced, earlier in this round
        try:
            result = ray.get(ref)
        except _DEATHS as error:
            self._bury(slot, error)
            return
        if ref == slot.starting:
            slot.starting, self._start_deaths = None, 0
            return
        task = slot.running.pop(ref)
        slot.exclusive = False
        if isinstance(result, UnitReport):
            self.poison |= task.poison
            self.total.add(result)
            self._on_report(result)
        else:
            self._suspects.appendleft(task)  # a probe survived: on with the hunt

    def _bury(self, slot: _Slot, error: Exception) -> None:
        self.n_deaths += 1
        first_line = str(error).strip().partition("\n")[0]
        tasks = list(slot.running.values())
        if not tasks:
            self._start_deaths += 1
            if self._start_deaths >= self._max_attempts:
                raise PoolError(f"{self._start_deaths} workers died while starting: {error}")
        for task in tasks:
            name = task.unit.fingerprint
            logger.warning("worker died with unit %s: %s", name, first_line)
            if not task.died(max_attempts=self._max_attempts):
                raise PoolError(
                    f"unit {name} of {len(task.unit.records)} records killed its worker "
                    f"{task.deaths} times more after its records were tried in halves, "
                    f"poison found: {sorted(task.poison) or 'none'}; last: {error}"
                )
        self._suspects.extend(tasks)
        ray.kill(slot.actor, no_restart=True)  # an unreachable one may still live
        actor = self._new_actor()
        slot.actor, slot.starting = actor, actor.start.remote()
        slot.running, slot.exclusive = {}, False
