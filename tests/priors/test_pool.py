"""Units on Ray actors: speed aside, the same result as inline, whatever dies on the way."""

import os
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import priors_stubs
import pytest
from priors_stubs import KILL, stub_extractor, units_of
from ray import cloudpickle

from flows.ray_session import ray_session
from priors.config import PoolConfig
from priors.extract import Extractor, run_units_inline
from priors.pool import PoolError, run_units
from priors.reports import UnitReport
from storage.errors import WeightsError
from storage.layout import Root
from storage.markers import committed
from storage.records import SourceRecord, Unit
from storage.shard_reader import iter_samples
from storage.sources import Source

pytestmark = pytest.mark.ray
Photos = Callable[[Sequence[int]], Source]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(priors_stubs)  # workers cannot import test modules
    with ray_session("local"):
        yield
    cloudpickle.unregister_pickle_by_value(priors_stubs)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeStub:
    source: Source
    root: Root
    fault: str = ""
    directory: Path | None = None

    def __call__(self) -> Extractor:
        if self.directory:
            os.chdir(self.directory)
        if self.fault == "weights":
            raise WeightsError("no such weights: stub.pt")
        if self.fault == "exit":
            os._exit(1)
        return stub_extractor(self.source, self.root, may_kill=True)


@pytest.fixture(scope="module", autouse=True)
def pickle_this_module_by_value() -> Iterator[None]:
    import sys

    module = sys.modules[MakeStub.__module__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def keys(root: Path, fingerprints: Sequence[str]) -> set[str]:
    return {s.key for f in fingerprints for s in iter_samples(Root.of(root), f)}


def test_actors_give_the_bytes_that_an_inline_run_gives(photos: Photos, tmp_path: Path) -> None:
    source = photos([1, 2, 0, 1, 3, 1, 0, 2, 1])
    units = units_of(source, size=2)
    assert len(units) >= 3
    seen: list[UnitReport] = []
    total = run_units(
        (unit for unit in units),
        make_extractor=MakeStub(source=source, root=Root.of(tmp_path / "ray")),
        on_report=seen.append,
        config=PoolConfig(count=2, cpus_each=0.5),
    )
    run_units_inline(
        units,
        make_extractor=MakeStub(source=source, root=Root.of(tmp_path / "inline")),
        on_report=lambda report: None,
    )
    assert {r.fingerprint for r in seen} == {u.fingerprint for u in units}
    assert (total.n_samples, total.n_rejects, total.n_deaths) == (7, 2, 0)
    for path in sorted((tmp_path / "inline" / "shards").iterdir()):
        assert path.read_bytes() == (tmp_path / "ray" / "shards" / path.name).read_bytes()


def test_the_sample_that_kills_its_worker_is_rejected_and_the_rest_is_kept(
    photos: Photos, tmp_path: Path
) -> None:
    source = photos([1, 2, KILL, 1, 1, 1, 0, 2])
    units = units_of(source, size=4)
    guilty = next(r.key for u in units for r in u.records if r.uri == "002.png")
    seen: list[UnitReport] = []
    total = run_units(
        units,
        make_extractor=MakeStub(source=source, root=Root.of(tmp_path)),
        on_report=seen.append,
        config=PoolConfig(count=1, cpus_each=0.5),
    )
    assert total.poison == (guilty,)
    assert dict(total.rejects_by_reason) == {"poison": 1, "no_person": 1}
    assert (total.n_samples, total.n_units) == (6, len(units))
    assert total.n_deaths >= 3
    assert committed(Root.of(tmp_path)) == {u.fingerprint for u in units}
    everyone = {r.key for u in units for r in u.records}
    found = keys(tmp_path, [u.fingerprint for u in units])
    assert guilty not in found
    assert len(everyone - found) == 2
    assert len(seen) == len(units)


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [("weights", WeightsError, "no such weights"), ("exit", PoolError, "while starting")],
)
def test_a_worker_that_cannot_start_is_an_error_not_a_poison_sample(
    photos: Photos, tmp_path: Path, fault: str, error: type[Exception], text: str
) -> None:
    source = photos([1])
    with pytest.raises(error, match=text):
        run_units(
            units_of(source, size=4),
            make_extractor=MakeStub(source=source, root=Root.of(tmp_path), fault=fault),
            on_report=lambda report: None,
            config=PoolConfig(count=1, cpus_each=0.5),
        )
    assert committed(Root.of(tmp_path)) == set()


def test_a_relative_root_is_the_drivers_also_for_an_actor_elsewhere(
    photos: Photos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    source = photos([1, 2])
    units = units_of(source, size=2)
    run_units(
        units,
        make_extractor=MakeStub(
            source=source, root=Root.of("data"), directory=tmp_path / "elsewhere"
        ),
        on_report=lambda report: None,
        config=PoolConfig(count=1, cpus_each=0.5),
    )
    assert committed(Root(f"{tmp_path}/data")) == {unit.fingerprint for unit in units}
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_nothing_to_do_is_fine(photos: Photos, tmp_path: Path) -> None:
    source = photos([1])
    total = run_units(
        iter(()),
        make_extractor=MakeStub(source=source, root=Root.of(tmp_path)),
        on_report=lambda report: None,
        config=PoolConfig(count=1, cpus_each=0.5),
    )
    assert total.n_units == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleeper:
    """A worker that takes its time; of several, the first one is there at once."""

    folder: Path
    seconds: float

    def __call__(self) -> "Sleeper":
        try:
            (self.folder / "first").touch(exist_ok=False)
        except FileExistsError:
            time.sleep(3)
        return self

    def process(self, unit: Unit, *, poison: Set[str]) -> UnitReport:
        time.sleep(self.seconds)
        (self.folder / f"{unit.fingerprint}-{os.getpid()}").touch()
        return UnitReport(
            fingerprint=unit.fingerprint, n_samples=1, n_rejects=0, rejects_by_reason={},
            stage_seconds={}, model_seconds=0.0, seconds=0.0, skipped=False,
        )  # fmt: skip

    def probe(self, records: Sequence[SourceRecord]) -> int:
        return len(records)


def test_a_worker_takes_no_second_unit_while_another_one_has_none(tmp_path: Path) -> None:
    units = (Unit(fingerprint=str(i), records=()) for i in range(2))
    run_units(
        units, make_extractor=Sleeper(folder=tmp_path, seconds=6), on_report=lambda report: None,
        config=PoolConfig(count=2, cpus_each=0.5),
    )  # fmt: skip
    done = [path.name.split("-") for path in tmp_path.iterdir() if path.name != "first"]
    assert len(done) == 2
    assert len({worker for _, worker in done}) == 2


def test_what_is_raised_while_it_waits_ends_a_run_and_its_workers(tmp_path: Path) -> None:
    began, calls = time.monotonic(), list[float]()

    def cancel() -> None:
        calls.append(time.monotonic())
        if len(calls) > 2:
            raise InterruptedError("cancelled")

    with pytest.raises(InterruptedError, match="cancelled"):
        run_units(
            [Unit(fingerprint="a", records=())],
            make_extractor=Sleeper(folder=tmp_path, seconds=600), while_waiting=cancel,
            on_report=lambda report: None, config=PoolConfig(count=1, cpus_each=0.5),
        )  # fmt: skip
    assert time.monotonic() - began < 60
    assert max(b - a for a, b in pairwise(calls)) < 10  # every second, on a machine at leisure
