"""Planning and driving a million stub images: records/s, driver memory, commit listing.

Every size runs in a process of its own. Actors commit units without looking at pixels, so that
the driver, the plan and the commits are what is measured.

    python -m benchmarks.bench_scale [--quick]
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from benchmarks.output import finish, options
from benchmarks.stub_models import SALT, run_on
from flows.ray_session import ray_session
from priors.extract import Extractor
from priors.reports import StageClock, UnitReport
from storage.content_tags import hash_tag
from storage.layout import Root
from storage.markers import committed
from storage.plan import PlanConfig, plan_units, write_plan
from storage.records import Reject, SourceRecord, Unit
from storage.shards import commit_unit
from storage.sources.base import make_record
from storage.versions import publish_version

SIZES = (100_000, 1_000_000)
QUICK_SIZES = (2_000, 20_000)
ACTORS = 2
BILLION = 1_000_000_000


def records(n: int) -> Iterator[SourceRecord]:
    """Records of photos that do not exist."""
    for i in range(n):
        uri = f"{i // 1000:07}/{i:010}.jpg"
        caption, tag = f"a person in photo {i}", hash_tag(uri.encode())
        yield make_record(uri, caption=caption, attributes={}, content_tag=tag)


class CommitOnly:
    """An extractor that rejects everything unseen, and commits that."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def process(self, unit: Unit, *, poison: Any = frozenset()) -> UnitReport:
        rejects = [
            Reject(key=r.key, uri=r.uri, reason="no_person", detail="stub") for r in unit.records
        ]
        clock = StageClock()
        with clock.stage("commit"):
            info = commit_unit(self._root, unit, outcomes=rejects)
        return UnitReport.of(info, clock, skipped=False)


def main() -> None:
    parser = options(__doc__, "scale")
    parser.add_argument("--one", type=int, help="measure this size here and print JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one)))
        return
    sizes = [measure_apart(n) for n in (QUICK_SIZES if given.quick else SIZES)]
    small, large = sizes
    times = large["records"] / small["records"]
    result = {
        "sizes": sizes,
        "memory_ratio": round(large["driver_peak_mib"] / small["driver_peak_mib"], 3),
        "listing_ratio_per_shard": round(
            large["listing_seconds"] / small["listing_seconds"] / times, 3
        ),
        "billion": {
            "plan_hours": round(BILLION / large["planned_per_s"] / 3600, 1),
            "listing_minutes": round(large["listing_seconds"] * BILLION / large["records"] / 60, 1),
            "plan_gib": round(large["plan_mib"] * BILLION / large["records"] / 1024, 1),
        },
    }
    rows: list[tuple[str, object, str]] = [
        (f"{n['records']:,} records: planned records/s", n["planned_per_s"], ">= 20,000")
        for n in sizes
    ]
    rows += [
        (f"{n['records']:,} records: driver peak MiB", n["driver_peak_mib"], "") for n in sizes
    ]
    rows += [
        ("peak memory, large / small", result["memory_ratio"], "<= 1.2"),
        ("listing seconds a shard, large / small", result["listing_ratio_per_shard"], "about 1"),
        ("driven records/s", large["driven_per_s"], ""),
    ]
    finish(given, result, rows)


def measure_apart(n: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_scale", "--one", str(n)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(n: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        root = Root(folder)
        start = perf_counter()
        units = plan_units(records(n), config=PlanConfig(), salt=SALT)
        plan = write_plan(root, units)
        plan_s = perf_counter() - start
        plan_mib = peak_mib()
        drive_s = drive(root, plan.units())
        start = perf_counter()
        done = committed(root)
        listing_s = perf_counter() - start
        assert len(done) == plan.n_units
        driver_mib = peak_mib()
        start = perf_counter()
        version = publish_version(root, list(plan.fingerprints()), config={})
        assert version.n_samples + version.n_rejects == n
        return {
            "records": n,
            "units": plan.n_units,
            "planned_per_s": round(n / plan_s),
            "plan_mib": round(Path(plan.uri).stat().st_size / 2**20, 3),
            "planner_peak_mib": round(plan_mib, 1),
            "driven_per_s": round(n / drive_s),
            "driver_peak_mib": round(driver_mib, 1),
            "listing_seconds": round(listing_s, 5),
            "publish_seconds": round(perf_counter() - start, 2),
            "publisher_peak_mib": round(peak_mib(), 1),
        }


def drive(root: Root, units: Iterator[Unit]) -> float:
    with ray_session("local"):
        start = perf_counter()
        run_on(ACTORS, units, cast(Callable[[], Extractor], partial(CommitOnly, root)))
        return perf_counter() - start


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
