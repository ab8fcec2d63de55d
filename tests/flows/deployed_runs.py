"""Runs of real deployments, on which a worker works: what they do, and what ends with them."""

import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.flows.flow_samples import ROOT

POOL = "control"
LIMIT_S = 30.0  # five seconds are promised; a machine that runs other tests takes its time


@contextmanager
def worker_of(
    environment: Mapping[str, str], flows: Sequence[str], log: Path, *, pool: str = POOL
) -> Generator[Any]:
    """A client of the server, on which a worker runs these flows' deployments, named `control`.

    Workers of one pool take each other's runs: one with an environment of its own needs a pool.
    """
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectAlreadyExists

    with get_client(sync_client=True) as found:
        with suppress(ObjectAlreadyExists):
            found.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        made: list[Any] = []
        for name in flows:
            loaded: Any = flow.from_source(source=str(ROOT), entrypoint=f"flows/{name}")
            given = {"build": False, "push": False, "print_next_steps": False}
            made.append(
                loaded.deploy(name="control", work_pool_name=pool, ignore_warnings=True, **given)
            )
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
        with log.open("wb") as file:
            worker = subprocess.Popen(
                [*command, "--type", "process", "--name", "control"],
                env={**environment, "PREFECT_WORKER_QUERY_SECONDS": "1", "PYTHONPATH": str(ROOT)},
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                yield found
            finally:
                for member in [worker, *psutil.Process(worker.pid).children(recursive=True)]:
                    with suppress(psutil.NoSuchProcess):
                        member.kill()
                worker.wait(30)
                for deployment in made:  # other tests look at all that the server has
                    found.delete_deployment(deployment)


@dataclass
class Run:
    """A flow run of a deployment."""

    client: Any
    id: Any

    @classmethod
    def start(cls, client: Any, flow: str, params: Any) -> "Run":
        deployment = client.read_deployment_by_name(f"{flow}/control")
        parameters = {"params": params.model_dump(mode="json")}
        run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        return cls(client, run.id)

    @property
    def state(self) -> str:
        return self.client.read_flow_run(self.id).state.name

    @property
    def history(self) -> list[str]:
        return [state.name for state in self.client.read_flow_run_states(self.id)]

    def set(self, state: Any) -> None:
        self.client.set_flow_run_state(self.id, state, force=True)

    def family(self) -> list[psutil.Process]:
        """Its process, and all that this one has started."""
        engine = self.engine()
        return [engine, *engine.children(recursive=True)]

    def engine(self) -> psutil.Process:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                if process.environ().get("PREFECT__FLOW_RUN_ID") == str(self.id):
                    return process
        pytest.fail(f"no process works on it: {self.history}")


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def at_work(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of Ray's that compute something."""
    found = [process for process in processes if "ray::" in command(process)]
    return [process for process in found if "Agent" not in command(process)]


def command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return " ".join(process.cmdline())
    return ""


def wait_until(true: Callable[[], bool], *, what: str, limit_s: float = 500) -> float:
    """Seconds that it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < limit_s, f"not within {limit_s} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begun


def gone(processes: list[psutil.Process]) -> bool:
    return not any(map(lives, processes))


def seconds_to_end(run: Run, state: str, family: list[psutil.Process]) -> dict[str, float]:
    """From now on: to the end of Ray's workers, of all processes, and to the state."""
    begun, ends = time.monotonic(), dict[str, float]()
    wanted = {
        "work": lambda: gone(at_work_before),
        "processes": lambda: gone(family),
        "state": lambda: run.state == state,
    }
    at_work_before = at_work(family)
    assert at_work_before
    while len(ends) < len(wanted):
        for name, true in wanted.items():
            if name not in ends and true():
                ends[name] = round(time.monotonic() - begun, 2)
        assert time.monotonic() - begun < 120, (ends, run.history)
        time.sleep(0.05)
    return ends
