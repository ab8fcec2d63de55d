"""Cancel, pause, resume, retry and a killed process, on real deployments that a worker runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo.world.dataset import write_folder
from flows.lock_server import LockServer
from flows.locks import lock_name
from flows.params import TrainParams
from flows.train import training_part
from hcp import HcpConfig
from hcp.training.checkpoints import CheckpointFolder
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.run_folder import METRICS_NAME, read_metrics
from tests.flows.deployed_runs import LIMIT_S, Run, seconds_to_end, wait_until
from tests.flows.flow_samples import rebuild_params

pytestmark = [pytest.mark.prefect, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

FLOWS = ("rebuild.py:rebuild_dataset", "train.py:train_hcp")


def test_a_rebuild_is_cancelled_and_killed(
    client: Any, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    from prefect.states import AwaitingRetry, Cancelling

    many = write_folder(tmp_path / "many", n=300, seed=3000)
    run = Run.start(client, "rebuild-dataset", rebuild_params(many, tmp_path / "data"))

    def committed() -> set[str]:
        return {path.name for path in (tmp_path / "data").glob("shards/*.json")}

    wait_until(lambda: len(committed()) > 0, what=f"a shard: {run.history}")
    family = run.family()
    run.set(Cancelling())
    ends = seconds_to_end(run, "Cancelled", family)
    record_property("cancelled_s", ends)
    first = committed()
    assert run.history[-2:] == ["Cancelling", "Cancelled"]
    assert ends["work"] < LIMIT_S
    assert len(first) < 30
    assert LockServer(lock_name(str(tmp_path / "data"))).holder() is None

    run.set(AwaitingRetry())
    wait_until(lambda: len(committed()) > len(first), what=f"another shard: {run.history}")
    family = run.family()
    run.engine().kill()
    ends = seconds_to_end(run, "Crashed", family)
    record_property("killed_s", ends)
    assert ends["work"] < LIMIT_S
    assert first < committed()


def test_a_training_is_paused_resumed_killed_tried_again_and_cancelled(
    client: Any, dataset: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    from prefect.states import AwaitingRetry, Cancelling, Suspended

    params = TrainParams(
        dataset=dataset, base="embedded", out=str(tmp_path / "out"), mlflow=False,
        training=TrainConfig(
            steps=10**6, batch_size=2, checkpoint_every=10**6,
            data=DataConfig(resolution_px=32, decode_threads=1), hcp=HcpConfig(width=16),
        ),
    )  # fmt: skip
    run = Run.start(client, "train-hcp", params)

    def folder() -> Path:
        (found,) = (tmp_path / "out").glob("train-*")  # it never begins anew
        return found

    def steps() -> int:
        begun = list((tmp_path / "out").glob(f"train-*/{METRICS_NAME}"))
        return len(read_metrics(str(begun[0]))) if begun else 0

    def saved() -> int:
        return CheckpointFolder(str(folder())).finished()[-1].step

    wait_until(lambda: steps() >= 20, what=f"20 steps: {run.history}")
    family = run.family()
    run.set(Suspended(timeout_seconds=3600))
    ends = seconds_to_end(run, "Suspended", family)
    record_property("paused_s", ends)
    first = saved()
    assert steps() == first >= 20

    client.resume_flow_run(run.id)
    wait_until(lambda: steps() >= first + 20, what=f"20 more steps: {run.history}")
    family = run.family()
    run.engine().kill()
    ends = seconds_to_end(run, "Crashed", family)
    record_property("killed_s", ends)
    assert ends["work"] < LIMIT_S
    lost = steps()  # since the pause, at which the last checkpoint was written

    run.set(AwaitingRetry())
    wait_until(lambda: steps() > lost, what=f"what was lost, again: {run.history}")
    family = run.family()
    run.set(Cancelling())
    ends = seconds_to_end(run, "Cancelled", family)
    record_property("cancelled_s", ends)
    assert saved() == steps() > lost
    assert run.history[-2:] == ["Cancelling", "Cancelled"]
    assert ends["work"] < params.workers.stop_grace_s + LIMIT_S
    each = [metrics.step for metrics in read_metrics(f"{folder()}/{METRICS_NAME}")]
    assert each == list(range(1, saved() + 1))  # nothing was done twice
    lock = lock_name(f"{params.out}/{training_part(params)}", "hcp-run")
    assert LockServer(lock).holder() is None
