"""Hands out units to a pool's actors, counts deaths, replaces actors, follows nodes that change."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from math import inf
from time import monotonic
from typing import Any

import ray
import torch
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RayError,
)

from priors.cluster_nodes import draining_nodes, living_nodes
from priors.extract import UNITS_IN_FLIGHT
from priors.poison import UnitTask
from priors.pool_slots import Listeners, Size, Slot
from priors.reports import ReportSum, UnitReport
from priors.waiting import any_ready
from storage.errors import HcpError
from storage.records import Unit

logger = logging.getLogger(__name__)

# torch's: a batch of one did not fit. Taken for a death, it is tried again, and the photo found.
_DEATHS = (RayActorError, OutOfMemoryError, NodeDiedError, ObjectLostError, torch.OutOfMemoryError)
_POLL_S, _PATIENCE_S = 0.25, 30.0  # a signal is seen between two polls


class PoolError(HcpError):
    """Workers keep dying and no single photo explains it."""


class Driver:
    """Drives a pool until every unit is reported."""

    def __init__(
        self,
        fresh: Iterator[Unit],
        *,
        new_actor: Callable[[], Any],
        new_spare: Callable[[], Any],
        listeners: Listeners,
        max_attempts: int,
    ) -> None:
        """Nothing is started yet.

        Args:
            fresh: the units.
            new_actor: makes one of the actors that there is room for.
            new_spare: makes one that waits for a node.
            listeners: who hears of it.
            max_attempts: of a unit whose worker dies.
        """
        self.slots: list[Slot] = []
        self.total = ReportSum()
        self.n_deaths = self.n_used = 0
        self.poison: set[str] = set()
        self._new_actor, self._new_spare = new_actor, new_spare
        self._fresh, self._suspects = fresh, deque[UnitTask]()
        self._next = deque[Unit]()  # taken from there, for workers that have none yet
        self._listeners = listeners
        self._max_attempts = max_attempts
        self._start_deaths = self._failed_spares = 0
        self._nodes, self._draining = living_nodes(), set[str]()
        self._worked_s = monotonic()  # when an actor last had something to do
        self._looked_s = -inf  # for nodes that are being taken back

    def run(self, size: Size) -> None:
        """Until every unit is reported."""
        for _ in range(size.first):
            self._add(self._new_actor)
        while True:
            self._leave()
            for slot in self.slots:
                self._feed(slot)
            if self._has_work():
                self._grow(size)
            else:
                self._let_go()
            waiting = [ref for slot in self.slots for ref in slot.running]
            starting = [slot.starting for slot in self.slots if slot.starting is not None]
            if not waiting and (not starting or not self._has_work()):
                return
            self._listeners.while_waiting()
            done = any_ready(waiting + starting, timeout_s=_POLL_S)
            self._say_where_nothing_works(bool(waiting))
            for ref in done:
                self._settle(ref)

    def _add(self, make: Callable[[], Any]) -> None:
        slot = Slot(make=make)
        slot.begin()
        self.slots.append(slot)

    def _grow(self, size: Size) -> None:
        """Actors that wait: a demand on an autoscaler; where a node joins, they start on it."""
        if self._failed_spares >= self._max_attempts:
            return
        waiting = sum(slot.starting is not None for slot in self.slots)
        room = size.most - len(self.slots) if size.most else size.spare
        for _ in range(min(size.spare - waiting, room)):
            self._add(self._new_spare)

    def _let_go(self) -> None:
        """Actors without work end, so that their nodes can be given back."""
        for slot in [slot for slot in self.slots if not slot.running]:
            slot.end()
            self.slots.remove(slot)

    def _leave(self) -> None:
        """Where a node is being taken back, its actors end what they have, and begin elsewhere."""
        if monotonic() - self._looked_s >= _POLL_S:
            self._looked_s = monotonic()
            self._note_draining()
        for slot in self.slots:
            if slot.leaving and not slot.running:
                slot.end()
                slot.begin()

    def _note_draining(self) -> None:
        for node, seconds in draining_nodes().items():
            here = [slot for slot in self.slots if slot.node == node]
            for slot in here:
                slot.leaving = True
            if here and node not in self._draining:
                self._draining.add(node)
                when = "" if seconds is None else f" in {max(0.0, seconds):.0f} s"
                self._listeners.on_note(
                    f"node {node[:8]} is being taken back{when}: it gets no new units, and its "
                    f"{len(here)} workers begin on other nodes"
                )

    def _say_where_nothing_works(self, working: bool) -> None:
        if working:
            self._worked_s = monotonic()
        elif monotonic() - self._worked_s > _PATIENCE_S:
            self._worked_s = monotonic()
            self._listeners.on_note(
                "no worker has its place yet: the cluster is busy, too small, or has lost nodes; "
                "the run waits"
            )

    def _has_work(self) -> bool:
        return bool(self._suspects) or self._looks_ahead(1)

    def _looks_ahead(self, n: int) -> bool:
        """Whether so many units are left that nobody has."""
        self._next.extend(islice(self._fresh, max(0, n - len(self._next))))
        return len(self._next) >= n

    def _feed(self, slot: Slot) -> None:
        if slot.starting is not None or slot.exclusive or slot.leaving or slot.silent:
            return
        if self._suspects:
            if not slot.running:  # else it drains first: a suspect needs a worker for itself
                slot.exclusive = True
                self._submit(slot, self._suspects.popleft())
            return
        while len(slot.running) < UNITS_IN_FLIGHT:
            # One ahead, as long as there are enough for those that have none yet.
            others = (s for s in self.slots if s is not slot and s.make is not self._new_spare)
            without = sum(not s.running for s in others) if slot.running else 0
            if not self._looks_ahead(without + 1):
                return
            self._submit(slot, UnitTask(unit=self._next.popleft()))

    def _submit(self, slot: Slot, task: UnitTask) -> None:
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
        except ActorUnavailableError:
            self._ask(slot, ref)
            return
        except (RayError, *_DEATHS) as error:  # not a signal's, which comes here too
            if ref == slot.starting and self._can_do_without(slot):
                self._drop(slot, error)
            elif isinstance(error, _DEATHS):
                self._bury(slot, error)
            else:
                raise
            return
        if slot.silent and isinstance(result, str):
            logger.warning("a worker was out of reach: what it had is done again")
            self._replace(slot, spared=True)
            return
        if ref == slot.starting:
            slot.starting, slot.node, self._start_deaths = None, str(result), 0
            self.n_used += not slot.used
            slot.used = True
            self._failed_spares *= slot.make is not self._new_spare
            return
        task = slot.running.pop(ref)
        slot.exclusive = False
        if isinstance(result, UnitReport):
            self.poison |= task.poison
            self.total.add(result)
            self._listeners.on_report(result)
        else:
            self._suspects.appendleft(task)  # a probe survived: on with the hunt

    def _ask(self, slot: Slot, ref: Any) -> None:
        """Out of reach: whether the process, its node or the line is gone, the next answer says."""
        slot.silent = True
        again = slot.actor.node.remote()
        if ref == slot.starting:
            slot.starting = again
        else:
            slot.running[again] = slot.running.pop(ref)

    def _can_do_without(self, slot: Slot) -> bool:
        others = (other for other in self.slots if other is not slot)
        return slot.make is self._new_spare and any(other.used for other in others)

    def _drop(self, slot: Slot, error: Exception) -> None:
        """A node that joined and cannot work is no reason to end the others' run."""
        slot.end()
        self.slots.remove(slot)
        self._failed_spares += 1
        if self._failed_spares == self._max_attempts:
            self._listeners.on_note(
                f"workers do not start on nodes that joined, so no more are asked for: {error}; "
                f"the run goes on with {sum(slot.used for slot in self.slots)} workers"
            )

    def _bury(self, slot: Slot, error: Exception) -> None:
        first_line = str(error).strip().partition("\n")[0]
        tasks = list(slot.running.values())
        if self._lost_its_node(slot) or getattr(error, "preempted", False):
            logger.warning("a node is lost, with a worker of %d units: %s", len(tasks), first_line)
            self._replace(slot, spared=True)
            return
        if not tasks:
            self._start_deaths += 1
            if self._start_deaths >= self._max_attempts:
                raise PoolError(f"{self._start_deaths} workers died while starting: {error}")
        for task in tasks:
            self._blame(task, error, first_line)
        self._replace(slot)

    def _replace(self, slot: Slot, *, spared: bool = False) -> None:
        """Another worker takes the place; what this one had is tried again, spared or blamed."""
        tasks = list(slot.running.values())
        # A worker that was placed on a node as that went has not died of anything.
        self.n_deaths += not spared or bool(tasks)
        if spared:
            for task in tasks:
                task.spared()
        self._suspects.extend(task for task in tasks if task.suspect)
        self._next.extendleft(task.unit for task in tasks if not task.suspect)
        slot.end()
        slot.begin()

    def _blame(self, task: UnitTask, error: Exception, first_line: str) -> None:
        name = task.unit.fingerprint
        logger.warning("worker died with unit %s: %s", name, first_line)
        if not task.died(max_attempts=self._max_attempts):
            raise PoolError(
                f"unit {name} of {len(task.unit.records)} records killed its worker "
                f"{task.deaths} times more after its records were tried in halves, "
                f"poison found: {sorted(task.poison) or 'none'}; last: {error}"
            )

    def _lost_its_node(self, slot: Slot) -> bool:
        """A spot machine that is taken back is no unit's fault."""
        before, self._nodes = self._nodes, living_nodes()
        gone = before - self._nodes
        return slot.leaving or (bool(gone) if slot.node is None else slot.node not in self._nodes)
