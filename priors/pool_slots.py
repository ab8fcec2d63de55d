"""The places of a pool's actors, how many there are, and who hears of their work."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray

from priors.poison import UnitTask
from priors.reports import UnitReport

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Slot:
    """One place for an actor, and what is running there."""

    make: Callable[[], Any]
    actor: Any = None
    starting: Any = None  # reference to the result of start(), a node's id; None once started
    node: str | None = None  # on which the actor started
    running: dict[Any, UnitTask] = field(default_factory=dict[Any, UnitTask])
    exclusive: bool = False
    leaving: bool = False  # its node is being taken back: no new work
    silent: bool = False  # out of reach, and asked what is the matter: no new work
    used: bool = False  # an actor has started here

    def begin(self) -> None:
        """A new actor, without work."""
        self.actor = self.make()
        self.starting, self.node = self.actor.start.remote(), None
        self.running, self.exclusive, self.leaving, self.silent = {}, False, False, False

    def end(self) -> None:
        """Its actor ends, also one that is out of reach and may still live."""
        ray.kill(self.actor, no_restart=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of a pool: what is started at once, and what is added where there is room for more."""

    first: int
    spare: int = 0  # actors that may wait for a place
    most: int = 0  # in all; 0: no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Who hears of a pool's work."""

    on_report: Callable[[UnitReport], None]
    on_note: Callable[[str], None] = logger.warning
    while_waiting: Callable[[], None] = lambda: None  # every second; may raise
