"""prefect.yaml on a real server: deployments, cron schedules, the automation, cancelling."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from demo.world.dataset import DrawnFolder, write_folder
from flows.provision import provision
from tests.flows.flow_samples import ROOT, rebuild_params

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

DEPLOYMENTS = {
    "rebuild-dataset/nightly",
    "retry-failed/on-demand",
    "cache-dataset/on-demand",
    "train-hcp/on-demand",
    "evaluate-hcp/on-demand",
    "rebuild-and-train/weekly",
    "ablate-hcp/on-demand",
}


@pytest.fixture(scope="module")
def deployed(environment: dict[str, str], prefect_api: str, tmp_path_factory) -> dict[str, str]:
    """The environment after ``provision``, and the places that its variables name."""
    folder = tmp_path_factory.mktemp("deployed")
    places = {
        "source": str(folder / "photos"),
        "root": str(folder / "data"),
        "base": "embedded",
        "runs": str(folder / "runs"),
        "reports": str(folder / "reports"),
        "checkpoint": str(folder / "runs" / "latest"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        lines = provision(places=places)
    assert {f"deployment {name}: made" for name in DEPLOYMENTS} <= set(lines)
    return environment | {f"HCP_{name.upper()}": value for name, value in places.items()}


def test_all_flows_are_deployed_with_valid_parameters(deployed: dict[str, str]) -> None:
    from prefect.client.orchestration import get_client

    from flows.params import (
        AblateParams,
        CacheParams,
        EvaluateParams,
        RebuildAndTrainParams,
        RebuildParams,
        RetryParams,
        TrainParams,
    )

    kinds = {
        "rebuild-dataset": RebuildParams,
        "retry-failed": RetryParams,
        "cache-dataset": CacheParams,
        "train-hcp": TrainParams,
        "evaluate-hcp": EvaluateParams,
        "rebuild-and-train": RebuildAndTrainParams,
        "ablate-hcp": AblateParams,
    }
    found = set()
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            flow = client.read_flow(deployment.flow_id)
            found.add(f"{flow.name}/{deployment.name}")
            kinds[flow.name].model_validate(deployment.parameters["params"])
            form = deployment.parameter_openapi_schema["definitions"]
            assert kinds[flow.name].__name__ in form  # what the UI draws its form from
    assert found == DEPLOYMENTS


def test_cron_schedules_create_runs(deployed: dict[str, str]) -> None:
    from prefect.client.orchestration import get_client

    scheduled: set[str] = set()
    deadline = time.monotonic() + 90
    with get_client(sync_client=True) as client:
        while len(scheduled) < 2 and time.monotonic() < deadline:
            time.sleep(1)
            runs = client.read_flow_runs()
            scheduled = {
                client.read_flow(run.flow_id).name
                for run in runs
                if run.state is not None and run.state.is_scheduled()
            }
    assert scheduled == {"rebuild-dataset", "rebuild-and-train"}


def test_a_new_dataset_version_starts_training_on_it(deployed: dict[str, str]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.events import emit_event

    published = f"{deployed['HCP_ROOT']}@0123456789abcdef"

    with get_client(sync_client=True) as client:
        training = next(f for f in client.read_flows() if f.name == "train-hcp")
        before = _runs_of(client, training.id)
        emit_event(
            event="hcp.dataset.published",
            resource={"prefect.resource.id": "hcp.dataset.0123456789abcdef"},
            payload={"dataset": published, "samples": 1},
        )
        deadline = time.monotonic() + 60
        while _runs_of(client, training.id) == before and time.monotonic() < deadline:
            time.sleep(1)
        (new,) = _runs_of(client, training.id) - before
        run = client.read_flow_run(new)
        assert run.parameters["dataset"] == published
        assert run.parameters["params"]["base"] == "variable:hcp_base"  # read when it starts


@pytest.fixture
def worker(deployed: dict[str, str], tmp_path: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "hcp"]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--type", "process", "--name", "test"],
            env=deployed | {"PREFECT_WORKER_QUERY_SECONDS": "1"},
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        yield
        # It would wait for the run that the automation's test has started, too.
        family = [process, *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait(30)


@pytest.mark.ray
def test_cancelling_a_run_ends_its_ray_work(
    worker: None, drawn: DrawnFolder, tmp_path: Path
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    many = write_folder(tmp_path / "many", n=300, seed=3000)
    params = rebuild_params(many, tmp_path / "data").model_copy(update={"gpus_per_actor": 0.0})
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("rebuild-dataset/nightly")
        run = client.create_flow_run_from_deployment(
            deployment.id, parameters={"params": params.model_dump(mode="json")}
        )
        deadline = time.monotonic() + 150
        while not list((tmp_path / "data").glob("shards/*.json")):
            assert time.monotonic() < deadline, client.read_flow_run(run.id).state
            time.sleep(0.2)
        ray_before = _ray_processes()
        client.set_flow_run_state(run.id, Cancelling(), force=True)
        asked = time.monotonic()
        _, alive = psutil.wait_procs(ray_before, timeout=60)
        gone_s = time.monotonic() - asked
        assert alive == []
        assert gone_s < 20  # 8.6 s were seen on two quiet cores, Prefect's own way included
        states = _wait_final(client, run.id)
        assert states[-1] == "Cancelled"
        assert "Crashed" not in states
    assert ray_before
    assert len(list((tmp_path / "data").glob("shards/*.json"))) < 30


def _ray_processes() -> list[psutil.Process]:
    mine = psutil.Process(os.getpid()).children(recursive=True)
    return [p for p in mine if p.is_running() and "ray" in " ".join(p.cmdline()).lower()]


def _wait_final(client, run_id, limit_s: float = 90) -> list[str]:
    deadline = time.monotonic() + limit_s
    names: list[str] = []
    while time.monotonic() < deadline:
        state = client.read_flow_run(run_id).state
        if not names or names[-1] != state.name:
            names.append(state.name)
        if state.is_final():
            time.sleep(3)  # a second, wrong final state would follow at once
            names.append(client.read_flow_run(run_id).state.name)
            return names
        time.sleep(0.2)
    return names


def _runs_of(client, flow_id) -> set:
    return {run.id for run in client.read_flow_runs(limit=200) if run.flow_id == flow_id}
