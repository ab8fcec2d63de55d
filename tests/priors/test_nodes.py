"""Several nodes: a machine that is lost in the middle of a run costs its units in flight only."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Any

import priors_stubs
import pytest
from priors_stubs import stub_extractor, units_of, write_photos
from ray import cloudpickle

from flows.ray_session import ray_session
from priors.config import PoolConfig
from priors.extract import UNITS_IN_FLIGHT, Extractor
from priors.pool import run_units
from priors.reports import UnitReport
from storage.layout import Root
from storage.markers import committed
from storage.records import Unit
from storage.sources import Source, resolve_source
from storage.verify import verify_root

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSlow:
    """Stub extractors that take their time and note the units that they start."""

    source: Source
    root: Path

    def __call__(self) -> Extractor:
        extractor: Any = stub_extractor(self.source, self.root)
        process, log = extractor.process, self.root / "log"

        def logged(unit: Unit, **options: Any) -> UnitReport:
            with log.open("a") as file:
                file.write(f"{unit.fingerprint}\n")
            sleep(0.3)
            return process(unit, **options)

        extractor.process = logged
        return extractor


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without CPUs and two nodes of one CPU."""
    import sys

    from ray.cluster_utils import Cluster

    for module in (priors_stubs, sys.modules[MakeSlow.__module__]):
        cloudpickle.register_pickle_by_value(module)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield cluster
    cluster.shutdown()
    for module in (priors_stubs, sys.modules[MakeSlow.__module__]):
        cloudpickle.unregister_pickle_by_value(module)


def test_a_lost_node_costs_only_its_units_in_flight(cluster: Any, tmp_path: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    write_photos(tmp_path / "photos", [1] * 60)
    source = resolve_source(str(tmp_path / "photos"), format="folder")
    units = units_of(source, size=2)
    root = tmp_path / "data"
    root.mkdir()
    seen: list[UnitReport] = []

    def on_report(report: UnitReport) -> None:
        seen.append(report)
        if len(seen) == 4:
            cluster.remove_node(nodes[0], allow_graceful=False)

    with ray_session(cluster.address):
        total = run_units(
            iter(units),
            make_extractor=MakeSlow(source=source, root=root),
            on_report=on_report,
            config=PoolConfig(count=2, cpus_each=1),
        )
    assert total.n_deaths == 1
    assert (total.n_samples, total.n_rejects) == (60, 0)
    assert {report.fingerprint for report in seen} == committed(Root.of(root))
    assert len(seen) == len(units)
    started = (root / "log").read_text().splitlines()
    assert len(started) - len(units) <= UNITS_IN_FLIGHT
    assert verify_root(str(root)) == []
