"""Finding the photos that kill their worker, by halving the unit: bookkeeping without Ray."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.records import SourceRecord, Unit


@dataclass(slots=True)
class PoisonHunt:
    """Which records of a unit are to be tried next, and which are found guilty.

    A group that kills its worker is halved until one record is alone; a group that survives is
    cleared. Photos that kill only together clear each other and are never found.
    """

    todo: deque[tuple[SourceRecord, ...]]
    poison: set[str] = field(default_factory=set[str])

    @classmethod
    def of(cls, records: Sequence[SourceRecord]) -> "PoisonHunt":
        """A hunt over records that, together, are known to kill."""
        hunt = cls(todo=deque())
        hunt.died(tuple(records))
        return hunt

    def next_group(self) -> tuple[SourceRecord, ...] | None:
        """Take the next records to try; None when the hunt is over."""
        return self.todo.popleft() if self.todo else None

    def died(self, group: tuple[SourceRecord, ...]) -> None:
        """The group killed its worker."""
        if len(group) == 1:
            self.poison.add(group[0].key)
        elif group:
            middle = len(group) // 2
            self.todo.extend((group[:middle], group[middle:]))


@dataclass(slots=True)
class UnitTask:
    """A unit on its way: how often it killed its worker, and what was found out since."""

    unit: Unit
    deaths: int = 0  # since the last hunt
    poison: frozenset[str] = frozenset()
    hunt: PoisonHunt | None = None
    group: tuple[SourceRecord, ...] = ()  # being tried now
    hunted: bool = False

    @property
    def suspect(self) -> bool:
        """Whether it must have a worker for itself, so that a death has one explanation."""
        return self.deaths > 0 or self.hunted

    def died(self, *, max_attempts: int) -> bool:
        """Count a death of its worker; False when nothing is left to try."""
        if self.hunt is not None:
            self.hunt.died(self.group)
            return True
        self.deaths += 1
        if self.deaths < max_attempts:
            return True
        if self.hunted:
            return False
        healthy = [r for r in self.unit.records if r.key not in self.poison]
        self.hunt, self.hunted, self.deaths = PoisonHunt.of(healthy), True, 0
        return True

    def spared(self) -> None:
        """Its worker was lost with its machine: what it tried is tried again, nothing counts."""
        if self.hunt is not None:
            self.hunt.todo.appendleft(self.group)

    def next_group(self) -> tuple[SourceRecord, ...] | None:
        """The records to try next; None when the unit itself is next, without its poison."""
        if self.hunt is None:
            return None
        group = self.hunt.next_group()
        if group is None:
            self.poison |= frozenset(self.hunt.poison)
            self.hunt = None
            return None
        self.group = group
        return group
