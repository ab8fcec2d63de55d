"""Units of work on Ray actors: placement, two units in flight each, deaths and poison samples.

Ray must be initialised by the caller. Actors belong to the driver and die with
it; they are never restarted by Ray, so that the driver knows which unit killed one.
"""

import logging
from collections.abc import Callable, Iterable, Sequence, Set, Sized
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import ray

from priors.config import PoolConfig
from priors.extract import UNITS_IN_FLIGHT
from priors.pool_driver import Driver, PoolError
from priors.pool_slots import Listeners, Size
from priors.reports import PoolReport, UnitReport
from priors.room import GIB, fitted, nodes_of
from storage.records import SourceRecord, Unit

__all__ = ["PoolError", "UnitWorker", "run_units"]

logger = logging.getLogger(__name__)


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

    def start(self) -> str:
        # not in __init__: an exception there would look like a death, here it has its own type
        self._extractor = self._make_extractor()
        return self.node()

    def node(self) -> str:
        return ray.get_runtime_context().get_node_id()

    def process(self, unit: Unit, poison: Set[str]) -> UnitReport:
        return self._extractor.process(unit, poison=poison)

    def probe(self, records: Sequence[SourceRecord]) -> int:
        return self._extractor.probe(records)


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
    ``poison`` and the rest of the unit is committed. A lost machine is no unit's fault. On nodes
    that join, ``config.spare`` workers start; a node that is being taken back gets no new units.

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
    asked, (config, notes) = config, fitted(config, nodes_of(ray.nodes()))
    for note in notes:
        on_note(note)
    driver = Driver(
        iter(units),
        new_actor=_maker(config, make_extractor),
        new_spare=_maker(asked, make_extractor),
        listeners=Listeners(on_report=on_report, on_note=on_note, while_waiting=while_waiting),
        max_attempts=config.max_attempts,
    )
    try:
        driver.run(Size(first=config.count, spare=config.spare or 0, most=asked.count))
    finally:
        for slot in driver.slots:
            slot.end()
    return driver.total.total(
        n_actors=max(1, driver.n_used),
        n_deaths=driver.n_deaths,
        poison=tuple(sorted(driver.poison)),
    )


def _maker(config: PoolConfig, make_extractor: Callable[[], UnitWorker]) -> Callable[[], Any]:
    actor_class: Any = ray.remote(_Worker)
    return partial(actor_class.options(**_options(config)).remote, make_extractor)


def _options(config: PoolConfig) -> dict[str, Any]:
    return {
        "num_cpus": config.cpus_each,
        "num_gpus": config.gpus_each or 0.0,
        "memory": int((config.memory_gib_each or 0.0) * GIB) or None,
        "max_restarts": 0,
        "max_task_retries": 0,
        "max_concurrency": UNITS_IN_FLIGHT,
    }
