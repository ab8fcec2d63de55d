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
from storage.errors import WeightsError
from storage.layout import Root
from storage.markers import committed
from storage.records import Unit
from storage.sources import Source, resolve_source
from storage.verify import verify_root
from tests.ray_nodes import cluster_of_nodes, drain_node

pytestmark = [pytest.mark.ray, pytest.mark.slow]

N_PHOTOS, UNIT_S = 60, 0.1
ALONE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSlow:
    """Stub extractors that take their time and note the units that they start, when and where."""

    source: Source
    root: Path
    alone: int = 10**9  # units that a node does before it waits for one that does as many
    only: str = ""  # a node that has the weights; "": all have

    def __call__(self) -> Extractor:
        extractor: Any = stub_extractor(self.source, self.root)
        process, log = extractor.process, self.root / "log"
        node = ray.get_runtime_context().get_node_id()
        if self.only not in ("", node):
            with (self.root / "tried").open("a") as file:
                file.write("x")
            raise WeightsError("no such weights on this node: stub.pt")

        def logged(unit: Unit, **options: Any) -> UnitReport:
            with log.open("a") as file:
                file.write(f"{unit.fingerprint} {node} {monotonic()}\n")
            sleep(UNIT_S)
            while begun(log, node) > self.alone > begun(log, node, others=True):
                sleep(UNIT_S)
            while self.only and begun(log, node) > ALONE and len(tried(self.root)) < 3:
                sleep(UNIT_S)
            return process(unit, **options)

        extractor.process = logged
        return extractor


def begun(log: Path, node: str, *, others: bool = False) -> int:
    """Units that a node has begun, or that others have."""
    return sum((node in line) != others for line in log.read_text().splitlines())


def tried(root: Path) -> str:
    """As many letters as workers that found no weights."""
    return (root / "tried").read_text() if (root / "tried").exists() else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a pool did."""

    total: PoolReport
    seen: list[UnitReport]
    units: list[Unit]
    root: Path

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
    with pytest.MonkeyPatch.context() as patch:
        # As on a busy cluster: what becomes of a worker is said later than that it is out of reach.
        patch.setenv("RAY_timeout_ms_task_wait_for_death_info", "0")
        with cluster_of_nodes() as nodes, ray_session(nodes.address):
            yield nodes
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


def run(
    folder: Path,
    config: PoolConfig,
    *,
    on_report: Callable[[int], None],
    on_note: Callable[[str], None] = lambda _: None,
    **worker: Any,
) -> Run:
    """A pool of slow extractors over units of two; ``on_report`` takes how many are done."""
    write_photos(folder / "photos", [1] * N_PHOTOS)
    source = resolve_source(str(folder / "photos"), format="folder")
    units, root, seen = units_of(source, size=2), folder / "data", list[UnitReport]()
    root.mkdir()

    def report_of(report: UnitReport) -> None:
        seen.append(report)
        on_report(len(seen))

    total = run_units(
        iter(units),
        make_extractor=MakeSlow(source=source, root=root, **worker),
        on_report=report_of,
        config=config,
        on_note=on_note,
    )
    return Run(total=total, seen=seen, units=units, root=root)


def test_a_lost_node_costs_only_its_units_in_flight(
    cluster: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]

    def lose_one(n: int) -> None:
        if n == 4:
            cluster.remove_node(nodes[0], allow_graceful=False)

    done = run(tmp_path, PoolConfig(count=2, cpus_each=1), on_report=lose_one)
    cluster.remove_node(nodes[1])
    done.check_whole()
    assert done.total.n_deaths == 1
    assert "a node is lost" in caplog.text
    assert "died with unit" not in caplog.text  # no unit is blamed
    assert len(done.started()) - len(done.units) <= UNITS_IN_FLIGHT


def test_a_node_that_joins_is_used_and_one_that_is_taken_back_is_left(
    cluster: Any, tmp_path: Path
) -> None:
    nodes, log = [cluster.add_node(num_cpus=1)], tmp_path / "data" / "log"
    drained: list[str] = []
    noted: list[tuple[str, float]] = []

    def change(n: int) -> None:
        if n == 3:
            nodes.append(cluster.add_node(num_cpus=1))
        elif n > 3 and not drained and begun(log, nodes[1].node_id) >= ALONE:
            drained.append(nodes[0].node_id)
            drain_node(cluster.address, drained[0], seconds=300)

    def on_note(note: str) -> None:
        noted.append((note, monotonic()))

    done = run(
        tmp_path, PoolConfig(cpus_each=1, spare=2), on_report=change, on_note=on_note, alone=ALONE
    )
    cluster.remove_node(nodes[1])
    done.check_whole()
    assert (done.total.n_deaths, done.total.n_actors) == (0, 2)
    assert len(done.started()) == len(done.units)  # nothing was done twice
    ((note, noted_s),) = [each for each in noted if "taken back" in each[0]]
    assert note.startswith(f"node {drained[0][:8]} is being taken back in ")
    later = [node for node, at in done.started() if at > noted_s]
    assert later.count(drained[0]) <= UNITS_IN_FLIGHT  # what it had in its hands
    assert later.count(nodes[1].node_id) > len(done.units) / 3


def test_a_node_that_joins_and_cannot_work_ends_no_run(cluster: Any, tmp_path: Path) -> None:
    nodes, notes = [cluster.add_node(num_cpus=1)], list[str]()

    def change(n: int) -> None:
        if n == 1:
            nodes.append(cluster.add_node(num_cpus=1))

    done = run(
        tmp_path, PoolConfig(cpus_each=1, spare=1), on_report=change, on_note=notes.append,
        only=nodes[0].node_id,
    )  # fmt: skip
    for node in nodes:
        cluster.remove_node(node)
    done.check_whole()
    assert (done.total.n_deaths, done.total.n_actors) == (0, 1)
    (note,) = [note for note in notes if "do not start on nodes that joined" in note]
    assert "no such weights on this node: stub.pt" in note
    assert note.endswith("the run goes on with 1 workers")
