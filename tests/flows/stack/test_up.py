"""A whole stack, up, down and after a power cut: one start for all that is asked of it."""

import ipaddress
import json
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.stack.api import PrefectApi
from flows.stack.config import StackConfig, StackError
from flows.stack.down import take_down
from flows.stack.processes import leader, marked
from flows.stack.services import client_environment, services
from flows.stack.settle import Wish
from flows.stack.state import StackState, look
from flows.stack.up import bring_up
from tests.flows.flow_samples import ROOT

pytestmark = [pytest.mark.prefect, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

logger = logging.getLogger(__name__)

LIMIT_S = 400  # the figure is 60 s on two idle cores; benchmarks/bench_up.py measures it
_ANY = dict.fromkeys(("prefect", "mlflow", "ray", "ray_dashboard", "ray_client", "ray_agent"), 0)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackState]:
    """A stack in a folder of odd characters."""
    folder = tmp_path_factory.mktemp("up") / "a stack [v2] 100% #1 é"
    begun = time.monotonic()
    try:
        state = bring_up(
            Wish(folder=folder, ports=_ANY, places={"base": "embedded"}, limit_s=LIMIT_S), print
        )
        logger.info("ready after %.0f s", time.monotonic() - begun)
        yield state
    finally:
        take_down(folder, print)


def test_everything_is_ready_and_listens_on_loopback_alone(stack: StackState) -> None:
    assert stack.ready
    assert {row.service for row in stack.rows} == {
        "prefect", "worker", "ray", "mlflow", "deployments"
    }  # fmt: skip
    for row in stack.rows:
        page = httpx.get(row.link, headers={"Accept": "text/html"}, follow_redirects=True)
        assert page.is_success, row
    listening = [
        connection.laddr.ip
        for process in marked(stack.config.folder)
        for connection in _connections(process)
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 5
    assert not [ip for ip in listening if not _is_loopback(ip)]


def test_up_again_changes_nothing_and_other_settings_are_refused(stack: StackState) -> None:
    folder = stack.config.folder
    again = _hcp("status", "--dir", str(folder), "--json")
    assert again.returncode == 0, again.stderr
    shown = json.loads(again.stdout)
    assert shown["ready"]
    assert shown["environment"]["PREFECT_API_URL"] == stack.config.api_url
    assert {row["service"]: row["pid"] for row in shown["services"]} == _pids(stack)
    with pytest.raises(StackError, match=r"--pool: the stack in .* runs already.*hcp down"):
        bring_up(Wish(folder=folder, pool="other"), print)
    with pytest.raises(StackError, match=r"--prefect-port 45123 \(now "):
        bring_up(Wish(folder=folder, ports={"prefect": 45_123}), print)


def test_a_terminal_with_its_variables_uses_its_ray(stack: StackState) -> None:
    code = "from flows.ray_session import ray_session\nwith ray_session() as c: print(c.address)"
    shell = f". {_quoted(stack.config.folder / 'env')} && {sys.executable} -c '{code}'"
    done = subprocess.run(
        ["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == f"127.0.0.1:{stack.config.ports.ray}"


def test_a_service_that_died_is_seen_and_started_again(stack: StackState) -> None:
    folder = stack.config.folder
    (mlflow,) = (each for each in services(stack.config) if each.name == "mlflow")
    before = leader(mlflow, marked(folder))
    assert before is not None
    before.kill()
    before.wait(20)
    lost = look(stack.config)
    assert [row.service for row in lost.rows if row.state == "stopped"] == ["mlflow"]
    told = _hcp("doctor", "--dir", str(folder), "--json")
    assert told.returncode == 1
    rows = {row["what"]: row for row in json.loads(told.stdout)["checks"]}
    assert rows["local stack"]["state"] == "bad"
    assert "mlflow stopped" in rows["local stack"]["found"]
    assert rows["PREFECT_API_URL"]["do"].startswith(". ")
    assert rows["workers"]["state"] == rows["schedules"]["state"] == "ok"
    healed = bring_up(Wish(folder=folder, limit_s=LIMIT_S), print)
    assert healed.ready
    now, then = _pids(healed), _pids(stack)
    assert {name for name in now if now[name] != then[name]} == {"mlflow"}


def test_after_a_power_cut_the_same_data_comes_back(stack: StackState) -> None:
    config = stack.config
    run = _unfinished_run(PrefectApi(config.api_url))
    experiment = _mlflow(config, "experiments/create", {"name": "kept"})["experiment_id"]
    for process in marked(config.folder):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert psutil.wait_procs(marked(config.folder), timeout=20)[1] == []
    assert look(config).stopped

    told: list[str] = []
    begun = time.monotonic()
    state = bring_up(Wish(folder=config.folder, limit_s=LIMIT_S), told.append)
    logger.info("back after %.0f s", time.monotonic() - begun)
    assert state.ready
    assert state.config == config  # the same ports: links of yesterday still work
    api = PrefectApi(config.api_url)
    assert any("went away while this ran" in line for line in told), told
    assert api.run(run)["state_name"] not in ("Running", "Crashed", "Cancelled")
    assert _mlflow(config, "experiments/get-by-name", {"experiment_name": "kept"})[
        "experiment"]["experiment_id"] == experiment  # fmt: skip
    assert len(api.deployments()) >= 7


def test_down_leaves_no_process(stack: StackState) -> None:
    folder = stack.config.folder
    here = marked(folder)
    assert here
    done = _hcp("down", "--dir", str(folder))
    assert done.returncode == 0, done.stderr
    assert "the data is in" in done.stdout
    assert marked(folder) == []
    assert not [each for each in here if each.is_running() and each.status() != "zombie"]
    assert _hcp("down", "--dir", str(folder)).stdout == "nothing runs\n"
    stopped = _hcp("status", "--dir", str(folder))
    assert stopped.returncode == 1
    assert "`hcp up` starts it" in stopped.stdout


def _unfinished_run(api: PrefectApi) -> str:
    """A run that the server takes for running, and that no process works on."""
    url, names = f"{api.url}/deployments", api.flow_names()
    (chosen,) = (d["id"] for d in api.deployments() if names[d["flow_id"]] == "rebuild-dataset")
    far = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    made = httpx.post(f"{url}/{chosen}/create_flow_run", json={"state": far}, trust_env=False)
    run = str(made.raise_for_status().json()["id"])
    api.set_state(run, {"type": "RUNNING", "name": "Running"}, force=True)
    return run


def _mlflow(config: StackConfig, what: str, body: dict[str, str]) -> Any:
    url = f"{config.mlflow_url}/api/2.0/mlflow/{what}"
    answer = (
        httpx.get(url, params=body, timeout=30, trust_env=False)
        if "/get" in what
        else httpx.post(url, json=body, timeout=30, trust_env=False)
    )
    return answer.raise_for_status().json()


def _connections(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return []


def _is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _pids(state: StackState) -> dict[str, int | None]:
    return {row.service: row.pid for row in state.rows}


def _hcp(*arguments: str) -> "subprocess.CompletedProcess[str]":
    named = {"PREFECT_API_URL", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"}
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments],
        cwd=ROOT, env={k: v for k, v in os.environ.items() if k not in named},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def test_the_variables_are_those_of_the_file(stack: StackState) -> None:
    text = (stack.config.folder / "env").read_text()
    for name in client_environment(stack.config):
        assert f"export {name}=" in text
