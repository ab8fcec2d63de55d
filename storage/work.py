"""A rebuild on disk: what is planned, what is left to do, and the version that comes of it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from storage.duplicates import Duplicates, repeated_keys
from storage.layout import Root
from storage.locations import write_atomic
from storage.markers import committed
from storage.plan import Plan, write_plan
from storage.records import Unit
from storage.retries import current_shards
from storage.version_list import refuse_newer_root
from storage.versions import DatasetVersion, list_versions, publish_version


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A plan, and which of its units have no shard yet."""

    plan: Plan
    todo: frozenset[str]
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    """Digests of the models that make its shards, by what they make: part of the shards' names."""
    long_captions: bool = False  # some are longer than earlier versions took by default

    def units(self) -> Iterator[Unit]:
        """The units that are left to do, in order; memory does not grow with their number."""
        return (unit for unit in self.plan.units() if unit.fingerprint in self.todo)


def open_work(
    root: Root, units: Iterable[Unit], *, settings: str, models: Mapping[str, str] | None = None
) -> Work:
    """Store the plan and the settings that it was made with, and see what is done already.

    Args:
        root: of the data set.
        units: of the whole source.
        settings: the rebuild's parameters, JSON: a retry starts from them.
        models: digests of the models that make the shards.

    Raises:
        ContractError: the root was written by a later version of this package.
        ShardError: the plan cannot be written.
    """
    refuse_newer_root(root)
    plan = write_plan(root, units)
    write_atomic(root.settings, settings.encode())
    # a shard that stands in for a unit is committed, so what is left are units themselves
    todo = frozenset(current_shards(root, plan.fingerprints())) - committed(root)
    return Work(plan=plan, todo=todo, models=models or {})


def publish_work(
    work: Work, *, config: Mapping[str, object], duplicates: Duplicates, distance_bits: int
) -> tuple[DatasetVersion, bool]:
    """Publish a plan's shards as a dataset version; whether it is one that was not there before.

    Args:
        work: all units of its plan are committed.
        config: how the shards came about, plain JSON.
        duplicates: repeated photos that loaders leave out; so ``distance_bits``
            (:func:`storage.duplicates.repeated_keys`).

    Raises:
        VersionError: a unit is not committed.
        ShardError: a shard cannot be read.
    """
    plan = work.plan
    before = list_versions(plan.root)
    shards = list(current_shards(plan.root, plan.fingerprints()))
    exclusions = repeated_keys(plan.root, shards, duplicates, distance_bits=distance_bits)
    version = publish_version(
        plan.root, shards, config=config, exclusions=exclusions, models=work.models
    )
    return version, version.id not in before
