"""One real Ray Train run; the loop itself is tested without Ray in test_training."""

import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray.train.v2._internal.constants import get_env_vars_to_propagate

from hcp import HcpAdapter, HcpConfig
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.config import DataConfig, TrainConfig, Workers
from hcp.training.metrics import StepMetrics
from hcp.training.ray import cluster_named, fit
from hcp.training.run_folder import METRICS_NAME, SUMMARY_NAME, read_metrics
from hcp.training.watching import Event, RunStart
from hcp.training.worker import TrainJob
from storage.errors import HcpError, TrainingStoppedError
from storage.versions import DatasetVersion
from tests.hcp.training.rank_process import start_ranks, steps_of

CONFIG = TrainConfig(
    steps=2,
    batch_size=2,
    checkpoint_every=2,
    data=DataConfig(resolution_px=32, decode_threads=1),
    hcp=HcpConfig(width=16),
)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    handler = signal.getsignal(signal.SIGTERM)
    root = str(Path(__file__).parents[3])
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        # Workers unpickle this file's classes, and importlib mode gives it no place on the path.
        runtime_env={"env_vars": {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_training_and_continuing_on_ray(dataset: DatasetVersion, base: str, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    seen: list[Event] = []
    first = fit(CONFIG, dataset=dataset, base=base, out=out, on_event=seen.append)
    assert seen[0] == RunStart(run=first.run, folder=str(tmp_path / "out" / first.run))
    assert [m.step for m in seen if isinstance(m, StepMetrics)] == [1, 2]
    adapter = HcpAdapter.from_pretrained(first.checkpoint)
    assert adapter.card.step == 2
    assert adapter.card.dataset_version == dataset.id
    longer = dataclasses.replace(CONFIG, steps=4)
    second = fit(longer, dataset=dataset, base=base, out=out, resume=True)
    assert second.run == first.run
    assert [m.step for m in second.metrics] == [1, 2, 3, 4]
    assert read_metrics(second.metrics_uri) == second.metrics
    assert HcpAdapter.from_pretrained(second.checkpoint).card.step == 4


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_training_s_actors_are_told_their_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    # Beside another cluster of this machine Ray Train's watchman would look for it there.
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with cluster_named():
        mine = ray.get_runtime_context().gcs_address
        assert get_env_vars_to_propagate()["RAY_ADDRESS"] == mine
        with cluster_named():  # another thread's
            pass
        assert get_env_vars_to_propagate()["RAY_ADDRESS"] == mine
    assert "RAY_ADDRESS" not in get_env_vars_to_propagate()
    assert "RAY_ADDRESS" not in os.environ


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_what_can_never_start_is_said_at_once(dataset: DatasetVersion, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(RuntimeError, match="never fit"):
        fit(CONFIG, dataset=dataset, base="x", out=out, workers=Workers(count=9))
    nowhere = str(tmp_path / "no" / "base")
    with pytest.raises(HcpError, match="does not exist"):
        fit(CONFIG, dataset=dataset, base=nowhere, out=out)


LONG = dataclasses.replace(
    CONFIG, steps=60, checkpoint_every=20, learning_rate=1e-3, warmup_steps=2, ema_decay=0.9
)


def losses(metrics: Iterable[StepMetrics]) -> list[float]:
    found = {m.step: m.loss for m in metrics}
    assert list(found) == list(range(1, LONG.steps + 1))
    return list(found.values())


def plain_losses(dataset: DatasetVersion, base: str, folder: Path, *, workers: int) -> list[float]:
    """Those of an uninterrupted run without Ray."""
    job = TrainJob(
        config=LONG, root=dataset.root.uri, version=dataset.id, base=base, run=f"{folder}/run"
    )
    assert start_ranks(job, folder, world_size=workers).end().error is None
    return [step["loss"] for step in steps_of(folder).values()]


def signal_one(number: signal.Signals, *, at_step: int) -> Callable[[Event], None]:
    """Send a signal to one of this process's training workers, once, after a step."""
    sent: list[int] = []

    def on_event(event: Event) -> None:
        if not isinstance(event, StepMetrics) or event.step < at_step or sent:
            return
        processes = psutil.Process().children(recursive=True)
        worker = next(p for p in processes if "RayTrainWorker" in " ".join(p.cmdline()))
        worker.send_signal(number)
        sent.append(worker.pid)

    return on_event


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_a_killed_worker_changes_nothing(
    dataset: DatasetVersion, base: str, tmp_path: Path
) -> None:
    two = Workers(count=2)
    kill = signal_one(signal.SIGKILL, at_step=25)
    result = fit(
        LONG, dataset=dataset, base=base, out=str(tmp_path / "out"), workers=two, on_event=kill
    )
    expected = plain_losses(dataset, base, tmp_path / "plain", workers=2)
    assert losses(result.metrics) == pytest.approx(expected, abs=1e-6)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_sigterm_to_a_worker_stops_with_a_checkpoint(
    dataset: DatasetVersion, base: str, tmp_path: Path
) -> None:
    out, notes = str(tmp_path / "out"), list[str]()
    stop = signal_one(signal.SIGTERM, at_step=2)
    with pytest.raises(TrainingStoppedError, match="--resume"):
        fit(LONG, dataset=dataset, base=base, out=out, on_event=stop, on_note=notes.append)
    (run,) = (tmp_path / "out").glob("train-*")
    summary = json.loads((run / SUMMARY_NAME).read_text())
    assert summary["stopped"]
    assert summary["last"]["step"] == summary["steps"] == len(read_metrics(f"{run}/{METRICS_NAME}"))
    assert notes
    result = fit(LONG, dataset=dataset, base=base, out=out, resume=True)
    expected = plain_losses(dataset, base, tmp_path / "plain", workers=1)
    assert losses(result.metrics) == pytest.approx(expected, abs=1e-6)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)  # three Rays
def test_a_stopped_and_then_killed_driver_goes_on(
    dataset: DatasetVersion, base: str, tmp_path: Path
) -> None:
    job = tmp_path / "job.pickle"
    arguments = {"config": LONG, "dataset": dataset, "base": base, "out": str(tmp_path / "out")}
    job.write_bytes(pickle.dumps(arguments | {"resume": True}))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "tests.hcp.training.driver_process", str(job)]

    def drive(number: signal.Signals, *, at_step: int) -> tuple[int, str]:
        driver = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert driver.stdout is not None
        for line in driver.stdout:
            if line.startswith("step") and int(line.split()[1]) >= at_step:
                driver.send_signal(number)
                break
        return driver.wait(120), driver.communicate()[1]

    code, said = drive(signal.SIGTERM, at_step=5)
    assert code == 1
    assert "--resume" in said
    (run,) = (tmp_path / "out").glob("train-*")
    stopped = CheckpointFolder(str(run)).finished()[-1].step
    assert 5 <= stopped < 40
    drive(signal.SIGKILL, at_step=stopped + 20)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert f"done {LONG.steps}" in done.stdout
    expected = plain_losses(dataset, base, tmp_path / "plain", workers=1)
    assert losses(read_metrics(f"{run}/{METRICS_NAME}")) == pytest.approx(expected, abs=1e-6)
