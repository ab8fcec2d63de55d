"""Prefect on a real PostgreSQL: many runs at once, and work pools of all types."""

import asyncio
import contextvars
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from prefect import flow, get_run_logger, task
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName
from pydantic import ConfigDict, create_model

from flows.artifacts import Progress, publish_table
from flows.server import private_server
from flows.work_pools import WORKDIR, WorkPoolError, make_pool, pool_type
from tests.postgres import Postgres

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
RUNS, AT_ONCE, TASKS, LINES = 12, 6, 3, 20


@task
def unit(number: int) -> int:
    for line in range(LINES):
        get_run_logger().info("unit %d, line %d", number, line)
    return number


@flow(name="many-at-once")
def many(run: int) -> int:
    with Progress("extract", total=TASKS, unit="units") as progress:
        done = [unit.submit(number) for number in range(TASKS)]
        total = sum(each.result() for each in done)
        progress.update(TASKS)
    publish_table("rejects", [{"run": run, "units": total}], description="rejects")
    return total


@pytest.fixture(scope="module")
def log(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of a server on an empty database, which this module's flows talk to."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    folder = tmp_path_factory.mktemp("on-postgres")
    database = postgres.database("prefect", driver="postgresql+asyncpg")
    with (
        private_server(folder, database=database) as environment,
        temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}),
    ):
        _hand_in()
        yield folder / "server.log"
        _hand_in()


def _hand_in() -> None:
    """End the threads that send events and logs: each keeps the server that it began with."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (EventsWorker, APILogWorker):
        worker.drain_all(timeout=20)


def rows(postgres: Postgres, query: str) -> list[Any]:
    with psycopg2.connect(postgres.url("prefect")) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    connection.close()
    return found


def test_runs_at_once_lose_nothing_and_schedules_create_runs(postgres: Postgres, log: Path) -> None:
    from prefect.client.orchestration import get_client

    many.to_deployment("nightly", cron="0 2 * * *").apply()
    deployed = time.monotonic()
    contexts = [contextvars.copy_context() for _ in range(RUNS)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        totals = list(pool.map(lambda run: contexts[run].run(many, run), range(RUNS)))
    assert totals == [sum(range(TASKS))] * RUNS

    states = "SELECT name, count(*) FROM {} WHERE state_type = 'COMPLETED' GROUP BY name"
    assert len(rows(postgres, states.format("flow_run"))) == RUNS
    # Prefect's client hands in task runs and log lines behind the flows' backs.
    tasks = "SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'"
    _until(lambda: rows(postgres, tasks) == [(RUNS * TASKS,)], 60)
    kinds = "SELECT key, count(DISTINCT flow_run_id) FROM artifact WHERE key IS NOT NULL GROUP BY 1"
    assert dict(rows(postgres, kinds)) == {"extract": RUNS, "rejects": RUNS}
    lines = "SELECT count(*) FROM log WHERE message LIKE 'unit %, line %'"
    _until(lambda: rows(postgres, lines) == [(RUNS * TASKS * LINES,)], 60)

    with get_client(sync_client=True) as client:
        _until(lambda: any(_scheduled(run) for run in client.read_flow_runs(limit=200)), 60)
    print(f"the schedule's runs were there {time.monotonic() - deployed:.0f} s after it")  # noqa: T201
    text = log.read_text()
    assert "locked" not in text
    assert " ERROR " not in text
    assert "Traceback" not in text


@pytest.fixture
def deployed(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Deploy a file as a person does, with its data below ``tmp_path``; what the server has."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    def deploy(kind: str) -> dict[str, Any]:
        text = (ROOT / "deploy" / f"prefect.{kind}.yaml").read_text()
        file = tmp_path / "prefect.yaml"
        file.write_text(text.replace(f"directory: {WORKDIR}\n", f"directory: {tmp_path}\n"))
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file",
             str(file)],
            env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "HCP_BUILDER": "echo",
                              "HCP_IMAGE": f"registry.example/hcp:{kind}"},
            cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"-t registry.example/hcp:{kind} ." in done.stdout
        assert (f"push registry.example/hcp:{kind}" in done.stdout) == (kind == "kubernetes")
        with get_client(sync_client=True) as client:
            pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[f"hcp-{kind}"]))
            found = client.read_deployments(work_pool_filter=pool)
        return {each.entrypoint: each for each in found}

    return deploy


def job(pool: str, deployment: Any) -> dict[str, Any]:
    """The job that a worker of the pool makes of a run, before it asks for the machine."""
    from prefect.client.orchestration import get_client
    from prefect.workers.base import BaseJobConfiguration

    class Configuration(BaseJobConfiguration):
        model_config = ConfigDict(extra="allow")

    with get_client(sync_client=True) as client:
        template = client.read_work_pool(pool).base_job_template
    # The worker's class has a field for each key of the template; the base class takes them too.
    fields = dict.fromkeys(template["job_configuration"], (Any, None))
    with_fields = create_model("Configuration", __base__=Configuration, **fields)
    values = deployment.job_variables | {"name": "hcp-run", "command": "prefect flow-run execute"}
    made = asyncio.run(with_fields.from_template_and_values(template, values))
    return made.model_dump()


def test_a_docker_pool_runs_our_image_with_gpus_and_shared_memory(
    deployed: Callable[..., Any], tmp_path: Path
) -> None:
    lines = [make_pool("hcp-docker", "docker", image=name) for name in ("hcp:1", "hcp:1", "hcp:2")]
    assert [line.partition(": ")[2] for line in lines] == [
        "made", "kept", "image changed to hcp:2",
    ]  # fmt: skip
    with pytest.raises(WorkPoolError, match="hcp-docker is of type docker, wanted kubernetes"):
        make_pool("hcp-docker", "kubernetes")
    assert pool_type("hcp-docker") == "docker"
    assert pool_type("no-such-pool") is None
    found = deployed("docker")
    assert len(found) == 7
    made = job("hcp-docker", found["flows.train.train_hcp"])
    assert made["image"] == "registry.example/hcp:docker"
    assert made["env"]["PREFECT_CLIENT_MAX_RETRIES"] == "6"
    assert made["container_create_kwargs"] == {
        "shm_size": "8gb",
        "device_requests": [{"driver": "nvidia", "count": -1, "capabilities": [["gpu"]]}],
    }
    _container_runs(found["flows.retry.retry_failed"], tmp_path)


def _container_runs(deployment: Any, workdir: Path) -> None:
    """What the container's command does: the pull step, our installed code, the flow."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    with get_client(sync_client=True) as client:
        params = {"source": "photos", "root": "data"}  # relative: below the working directory
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"params": params})
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "flow-run", "execute", str(run.id)],
            env=os.environ | {"PREFECT_API_URL": PREFECT_API_URL.value(), "PYTHONPATH": str(ROOT)},
            cwd="/", capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        state = client.read_flow_run(run.id).state
    assert state is not None, done.stdout + done.stderr
    assert state.name == "Failed"  # there are no photos: the flow itself has said so
    assert str(workdir) in str(state.message), (state.message, done.stderr)


def test_a_kubernetes_pool_makes_jobs_that_kubernetes_takes(deployed: Callable[..., Any]) -> None:
    import kubernetes_validate

    assert make_pool("hcp-kubernetes", "kubernetes").endswith("(kubernetes): made")
    found = deployed("kubernetes")
    for entrypoint, more in (
        ("flows.train.train_hcp", {"gpus": "2", "node_selector": {"spot": "true"}}),
        ("flows.retry.retry_failed", {"gpus": "0"}),
    ):
        deployment = found[entrypoint]
        deployment.job_variables |= more
        manifest = job("hcp-kubernetes", deployment)["job_manifest"]
        # What Prefect's worker writes into it at last: names, words and variables as lists.
        manifest["metadata"] |= {"generateName": "hcp-run-", "labels": {}}
        container = manifest["spec"]["template"]["spec"]["containers"][0]
        assert container["env"]["PREFECT_CLIENT_MAX_RETRIES"] == "6"
        container["env"] = [{"name": k, "value": v} for k, v in container["env"].items()]
        container["args"] = container["args"].split()
        kubernetes_validate.validate(manifest, "1.33", strict=True)
        assert container["image"] == "registry.example/hcp:kubernetes"
        assert container["resources"]["limits"].get("nvidia.com/gpu") == more["gpus"]
        assert manifest["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True


def test_a_pool_of_processes_has_no_image(log: Path) -> None:
    with pytest.raises(WorkPoolError, match=r"runs no image, got 'hcp:1': leave it out"):
        make_pool("hcp-processes", image="hcp:1")
    with pytest.raises(WorkPoolError, match="one of process, docker, kubernetes, got 'podman'"):
        make_pool("hcp-processes", "podman")  # pyright: ignore[reportArgumentType]
    assert make_pool("hcp-processes") == "work pool hcp-processes (process): made"
    with pytest.raises(WorkPoolError, match="runs no image"):
        make_pool("hcp-processes", image="hcp:1")
    assert make_pool("hcp-processes") == "work pool hcp-processes (process): kept"


def _scheduled(run: Any) -> bool:
    return run.state is not None and run.state.is_scheduled()


def _until(true: Any, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.5)
