"""A training run's folder: its name says what was trained, its log has each step once."""

import dataclasses
import json
import math
import resource
import time
import tracemalloc
from pathlib import Path

import pytest

from hcp.training.config import DataConfig, Mixed, TrainConfig
from hcp.training.metrics import StepMetrics
from hcp.training.run_folder import (
    METRICS_NAME,
    SUMMARY_NAME,
    MetricsLog,
    read_metrics,
    run_name,
    write_summary,
)
from storage.versions import DatasetVersion

CONFIG = TrainConfig(steps=2, batch_size=2, checkpoint_every=2)


def step(number: int, loss: float = 1.0) -> StepMetrics:
    return StepMetrics(
        step=number, loss=loss, denoise=0.5, alignment=0.25, learning_rate=1e-4, grad_norm=2.0,
        images_per_s=3.0, epoch=0,
    )  # fmt: skip


def name_of(config: TrainConfig, dataset: DatasetVersion) -> str:
    return run_name(config, dataset=dataset, base="b", out="nowhere", resume=False)


@pytest.fixture
def dataset() -> DatasetVersion:
    return DatasetVersion(
        id="0" * 16, root="data", shards=(), counts=(), n_samples=0, n_rejects=0,
        rejects_by_reason={}, config={}, statistics={},
    )  # fmt: skip


def test_the_name_of_a_run(dataset: DatasetVersion, tmp_path: Path) -> None:
    out = str(tmp_path / "out")

    def name(config: TrainConfig = CONFIG, *, base: str = "b", resume: bool = False) -> str:
        return run_name(config, dataset=dataset, base=base, out=out, resume=resume)

    first = name()
    assert first == name(resume=True)
    assert first.endswith("-0")
    (tmp_path / "out" / first).mkdir(parents=True)
    assert name(resume=True) == first
    assert name() == first[:-1] + "1"
    assert name(dataclasses.replace(CONFIG, steps=9, checkpoint_every=1), resume=True) == first
    assert name(dataclasses.replace(CONFIG, seed=1), resume=True) != first
    assert name(base="other", resume=True) != first


def test_the_name_counts_the_versions_that_are_mixed_in_wherever_they_lie(
    dataset: DatasetVersion,
) -> None:
    def name(*also: Mixed) -> str:
        return name_of(dataclasses.replace(CONFIG, data=DataConfig(also=also)), dataset)

    one, other, third = (Mixed(dataset=f"/d@{letter * 16}") for letter in "abc")
    names = [
        name(), name(one), name(other), name(one, third), name(third, one),
        name(dataclasses.replace(one, weight=0.5)), name(dataclasses.replace(one, repeats=2)),
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert name(Mixed(dataset="s3://moved/d@" + "a" * 16)) == name(one)
    assert name() == name_of(CONFIG, dataset)


def test_attempts_are_counted_as_numbers(dataset: DatasetVersion, tmp_path: Path) -> None:
    stem = run_name(CONFIG, dataset=dataset, base="b", out=str(tmp_path), resume=False)[:-1]
    for attempt in ("2", "10", "x"):
        (tmp_path / f"{stem}{attempt}").mkdir()
    names = [
        run_name(CONFIG, dataset=dataset, base="b", out=str(tmp_path), resume=resume)
        for resume in (True, False)
    ]
    assert names == [f"{stem}10", f"{stem}11"]


def test_a_run_of_the_version_before_is_found_again(dataset: DatasetVersion) -> None:
    """The digest is the one that the formula before gave for these settings."""
    old = dataclasses.replace(CONFIG, precision="float32", data=DataConfig(resolution_px=512))
    assert name_of(old, dataset) == "train-bfa5c46ef868-0"

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Extra:
        rank: int = 4

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class TrainConfigLater(TrainConfig):
        method: str = "hcp"
        extra: Extra = dataclasses.field(default_factory=Extra)

    TrainConfigLater.__name__ = "TrainConfig"
    later = TrainConfigLater(
        **{f.name: getattr(old, f.name) for f in dataclasses.fields(TrainConfig)}
    )
    assert name_of(later, dataset) == name_of(old, dataset)
    for change in ({"method": "lora"}, {"extra": Extra(rank=8)}):
        assert name_of(dataclasses.replace(later, **change), dataset) != name_of(old, dataset)


def test_steps_are_written_and_read_back(tmp_path: Path) -> None:
    uri = str(tmp_path / "run" / METRICS_NAME)
    assert read_metrics(uri) == ()
    seen: list[StepMetrics] = []
    log = MetricsLog(uri, seen.append)
    log.add(step(1))
    log.write(at_least=2)
    assert read_metrics(uri) == ()
    log.add(step(2))
    log.write(at_least=2)
    assert read_metrics(uri) == (step(1), step(2)) == tuple(seen)


def test_steps_repeated_after_a_restart_stand_once(tmp_path: Path) -> None:
    uri = str(tmp_path / METRICS_NAME)
    first = MetricsLog(uri)
    for number in (1, 2, 3):
        first.add(step(number))
    first.write()
    again = MetricsLog(uri)
    assert (again.count, again.last_step) == (3, 3)
    again.add(step(2, loss=0.5))
    again.write()
    assert read_metrics(uri) == (step(1), step(2, loss=0.5))


@pytest.mark.parametrize(("kind", "n"), [("disk", 100_000), ("store", 20_000)])
def test_the_log_grows_with_the_steps_alone(tmp_path: Path, kind: str, n: int) -> None:
    """Many steps and a restart in between take seconds: each step costs the same."""
    uri = f"{tmp_path}/{METRICS_NAME}"
    if kind == "store":
        uri = f"memory://{tmp_path.name}/{METRICS_NAME}"
    start_s = time.process_time()
    log = MetricsLog(uri)
    for number in (*range(1, n // 2), *range(n // 4, n + 1)):
        log.add(step(number, loss=number / 7))
        log.write(at_least=20)
    log.write()
    took_s = time.process_time() - start_s
    assert [m.step for m in read_metrics(uri)] == list(range(1, n + 1))
    assert took_s < 30


def test_a_line_that_was_broken_off_is_left_out_and_written_again(tmp_path: Path) -> None:
    path = tmp_path / METRICS_NAME
    log = MetricsLog(str(path))
    for number in (1, 2):
        log.add(step(number))
    log.write()
    path.write_bytes(path.read_bytes()[:-5])
    assert read_metrics(str(path)) == (step(1),)
    again = MetricsLog(str(path))
    again.add(step(2))
    again.write()
    assert read_metrics(str(path)) == (step(1), step(2))
    assert path.read_bytes().count(b"\n") == 2


def test_memory_does_not_grow_with_the_steps(tmp_path: Path) -> None:
    log = MetricsLog(f"{tmp_path}/{METRICS_NAME}")
    tracemalloc.start()
    try:
        for number in range(1, 10_001):
            log.add(step(number, loss=number / 7))
            log.write(at_least=20)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    assert log.count == 10_000


def test_a_step_that_is_not_finite_is_plain_json_and_not_a_number(tmp_path: Path) -> None:
    log = MetricsLog(f"{tmp_path}/{METRICS_NAME}")
    log.add(dataclasses.replace(step(1), loss=math.nan, grad_norm=math.inf, skipped=1))
    log.write()
    text = (tmp_path / METRICS_NAME).read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    (read,) = read_metrics(log.uri)
    assert math.isnan(read.loss)
    assert math.isnan(read.grad_norm)
    assert (read.denoise, read.skipped, read.attention_share) == (0.5, 1, None)


def test_lines_of_other_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / METRICS_NAME
    old = {
        k: v for k, v in dataclasses.asdict(step(1)).items() if k not in ("skipped", "bad_samples")
    }
    path.write_text(json.dumps(old) + "\n" + json.dumps(old | {"step": 2, "later": 1}) + "\n")
    assert read_metrics(str(path)) == (step(1), step(2))


def test_what_a_full_disk_cut_off_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / METRICS_NAME
    log = MetricsLog(str(path))
    log.add(step(1))
    log.write()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limit[1]))
    try:
        log.add(step(2))
        with pytest.raises(OSError, match="too large"):
            log.write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert read_metrics(str(path)) == (step(1),)
    log.add(step(3))
    log.write()
    assert read_metrics(str(path)) == (step(1), step(2), step(3))


def test_how_a_run_ended_is_written_where_it_can_be(tmp_path: Path) -> None:
    write_summary(str(tmp_path / "run"), {"steps": 3})
    assert json.loads((tmp_path / "run" / SUMMARY_NAME).read_text()) == {"steps": 3}
    write_summary(str(tmp_path / "run" / SUMMARY_NAME), {"steps": 3})  # no folder: no error
