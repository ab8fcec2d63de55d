"""Several nodes: they join, are announced to go, and are lost in the middle of a run."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import priors_stubs
import pytest
import ray
from priors_stubs import stub_extractor, units_of, write_photos
from ray import cloudpickle

from flows.ray_session import ray_session
from priors.config import PoolConfig
from priors.extract import UNITS_IN_FLIGHT, Extractor
from priors.pool import run_units
from priors.reports import PoolReport, UnitReport
from storage.layout import Root
from storage.markers import committed
from storage.records import Unit
from storage.sources import Source, resolve_source
from storage.verify import verify_root
from tests.ray_nodes import cluster_of_nodes, drain_node

pytestmark = [pytest.mark.ray, pytest.mark.slow]

N_PHOTOS, UNIT_S = 60, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSlow:
    """Stub extractors that take their time and note the units that they start, when and where."""

    source: Source
    root: Path

    def __call__(self) -> Extractor:
        extractor: Any = stub_extractor(self.source, self.root)
        process, log = extractor.process, self.root / "log"
        node = ray.get_runtime_context().get_node_id()

        def logged(unit: Unit, **options: Any) -> UnitReport:
            with log.open("a") as file:
                file.write(f"{unit.fingerprint} {node} {monotonic()}\n")
            sleep(UNIT_S)
            return process(unit, **options)

        extractor.process = logged
        return extractor


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a pool did."""

    total: PoolReport
    seen: list[UnitReport]
    units: list[Unit]
    root: Path
    notes: list[str]

    def check_whole(self) -> None:
        """Every photo is there once, whatever the nodes did."""
        assert (self.total.n_samples, self.total.n_rejects) == (N_PHOTOS, 0)
        assert {report.fingerprint for report in self.seen} == committed(Root.of(self.root))
        assert len(self.seen) == len(self.units)
        assert verify_root(str(self.root)) == []

    def started(self) -> list[tuple[str, float]]:
        """Node and time of each unit that was begun."""
        rows = [line.split() for line in (self.root / "log").read_text().splitlines()]
        return [(node, float(at)) for _, node, at in rows]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without CPUs, to which each test adds nodes of one CPU and takes them back."""
    modules = (priors_stubs, sys.modules[MakeSlow.__module__])
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    with cluster_of_nodes() as nodes, ray_session(nodes.address):
        yield nodes
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


def run(folder: Path, config: PoolConfig, *, on_report: Callable[[int], None]) -> Run:
    """A pool of slow extractors over 30 units; ``on_report`` takes how many are done."""
    write_photos(folder / "photos", [1] * N_PHOTOS)
    source = resolve_source(str(folder / "photos"), format="folder")
    units, root, seen, notes = units_of(source, size=2), folder / "data", [], []
    root.mkdir()

    def report_of(report: UnitReport) -> None:
        seen.append(report)
        on_report(len(seen))

    total = run_units(
        iter(units),
        make_extractor=MakeSlow(source=source, root=root),
        on_report=report_of,
        config=config,
        on_note=notes.append,
    )
    return Run(total=total, seen=seen, units=units, root=root, notes=notes)


def test_a_lost_node_costs_only_its_units_in_flight(cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

    def lose_one(n: int) -> None:
        if n == 4:
            cluster.remove_node(nodes[0], allow_graceful=False)

    done = run(tmp_path, PoolConfig(count=2, cpus_each=1), on_report=lose_one)
    cluster.remove_node(nodes[1])
    done.check_whole()
    assert done.total.n_deaths == 1
    assert len(done.started()) - len(done.units) <= UNITS_IN_FLIGHT


def test_a_node_that_joins_is_used_and_one_that_is_taken_back_is_left(
    cluster: Any, tmp_path: Path
) -> None:
    nodes, drained_s = [cluster.add_node(num_cpus=1)], list[float]()

    def change(n: int) -> None:
        if n == 3:
            nodes.append(cluster.add_node(num_cpus=1))
        elif n > 3 and not drained_s and done_on(nodes[1].node_id) > 3:
            drained_s.append(monotonic())
            drain_node(cluster.address, nodes[0].node_id, seconds=60)

    def done_on(node: str) -> int:
        return (tmp_path / "data" / "log").read_text().count(node)

    done = run(tmp_path, PoolConfig(cpus_each=1, spare=2), on_report=change)
    done.check_whole()
    assert drained_s, "the node that joined was not used"
    assert done.total.n_deaths == 0
    assert done.total.n_actors == 2
    assert len(done.started()) == len(done.units)  # nothing was done twice
    after = [node for node, at in done.started() if at > drained_s[0] + 3]
    assert set(after) == {nodes[1].node_id}
    (note,) = [note for note in done.notes if "taken back" in note]
    assert note.startswith(f"node {nodes[0].node_id[:8]} is being taken back in ")
    cluster.remove_node(nodes[1])
