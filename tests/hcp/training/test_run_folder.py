"""A training run's folder: its name says what was trained, its log has each step once."""

import dataclasses
from pathlib import Path

import pytest

from hcp.training.config import TrainConfig
from hcp.training.run_folder import METRICS_NAME, MetricsLog, read_metrics, run_name
from hcp.training.trainer import StepMetrics
from storage.versions import DatasetVersion

CONFIG = TrainConfig(steps=2, batch_size=2, checkpoint_every=2)


def step(number: int, loss: float = 1.0) -> StepMetrics:
    return StepMetrics(
        step=number, loss=loss, denoise=0.5, alignment=0.25, learning_rate=1e-4, grad_norm=2.0,
        images_per_s=3.0, epoch=0,
    )  # fmt: skip


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


def test_attempts_are_counted_as_numbers(dataset: DatasetVersion, tmp_path: Path) -> None:
    stem = run_name(CONFIG, dataset=dataset, base="b", out=str(tmp_path), resume=False)[:-1]
    for attempt in ("2", "10", "x"):
        (tmp_path / f"{stem}{attempt}").mkdir()
    names = [
        run_name(CONFIG, dataset=dataset, base="b", out=str(tmp_path), resume=resume)
        for resume in (True, False)
    ]
    assert names == [f"{stem}10", f"{stem}11"]


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
    assert list(again.steps) == [1, 2, 3]
    again.add(step(2, loss=0.5))
    again.write()
    assert read_metrics(uri) == (step(1), step(2, loss=0.5))
