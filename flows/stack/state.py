"""What of a stack runs, and how it is: the rows of ``hcp status``."""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import psutil

from flows.stack.api import ACTIVE, PrefectApi
from flows.stack.config import StackConfig
from flows.stack.ports import HOST
from flows.stack.processes import leader, log_file, marked
from flows.stack.services import Service, client_environment, services, token_file

RUNNING, STARTING, SILENT, STOPPED = "running", "starting", "not answering", "stopped"
_START_S = 120  # so long a process without an answer counts as starting
_PROBE_LIMIT_S = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    service: str
    state: str
    since: str | None  # UTC
    link: str
    detail: str
    pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    """All of it at one moment."""

    config: StackConfig
    rows: tuple[Row, ...]

    @property
    def ready(self) -> bool:
        """Whether everything runs."""
        return all(row.state == RUNNING for row in self.rows)

    @property
    def stopped(self) -> bool:
        """Whether nothing runs."""
        return all(row.state == STOPPED for row in self.rows)

    def as_json(self) -> Mapping[str, Any]:
        """For scripts: the rows, the folder, and the variables that a terminal needs."""
        return {
            "folder": str(self.config.folder),
            "ready": self.ready,
            "services": [asdict(row) for row in self.rows],
            "ports": asdict(self.config.ports),
            "environment": client_environment(self.config),
        }


def look(config: StackConfig) -> StackState:
    """Ask every process and every service once."""
    processes, api = marked(config.folder), PrefectApi(config.api_url)
    rows: list[Row] = []
    for service in services(config):
        process = leader(service, processes)
        state = STOPPED if process is None else _state(service, process, config)
        rows.append(
            Row(
                service=service.name,
                state=state,
                since=_since(process),
                link=service.link,
                detail=_detail(service, state, config, api),
                pid=process.pid if process else None,
            )
        )
    return StackState(config=config, rows=(*rows, _deployments(rows[0], api)))


def answers(service: Service, config: StackConfig, *, since_s: float = 0) -> bool:
    """Whether a service is ready for use.

    Args:
        service: which.
        config: of the stack.
        since_s: for the worker, a time: what it reported before does not count.
    """
    if service.probe is None:
        return _worker_reports(config, since_s)
    try:
        answer = httpx.get(
            service.probe, timeout=_PROBE_LIMIT_S, headers=_headers(service, config),
            trust_env=False, verify=False,
        )  # fmt: skip
    except httpx.HTTPError:
        return False
    if service.name == "ray":
        return answer.is_success and '"state": "ALIVE"' in answer.text  # its node, not its page
    return answer.is_success


def listens(address: str, *, limit_s: float = 5) -> bool:
    """Whether something takes connections at ``host:port``, with or without a scheme before it."""
    host, _, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), limit_s):
            return True
    except (OSError, ValueError):
        return False


def _state(service: Service, process: psutil.Process, config: StackConfig) -> str:
    if answers(service, config):
        return RUNNING
    with suppress(psutil.NoSuchProcess):
        return STARTING if time.time() - process.create_time() < _START_S else SILENT
    return STOPPED


def _headers(service: Service, config: StackConfig) -> dict[str, str]:
    if service.name != "ray":
        return {}
    try:
        return {"Authorization": f"Bearer {token_file(config).read_text().strip()}"}
    except OSError:
        return {}


def _worker_reports(config: StackConfig, since_s: float) -> bool:
    try:
        workers = PrefectApi(config.api_url).workers(config.pool)
    except (httpx.HTTPError, ValueError):
        return False
    return any(
        each["status"] == "ONLINE"
        and datetime.fromisoformat(each["last_heartbeat_time"]).timestamp() > since_s
        for each in workers
    )


def _since(process: psutil.Process | None) -> str | None:
    if process is None:
        return None
    with suppress(psutil.NoSuchProcess):
        return f"{datetime.fromtimestamp(process.create_time(), UTC):%Y-%m-%d %H:%M:%S}"
    return None


def _detail(service: Service, state: str, config: StackConfig, api: PrefectApi) -> str:
    if state == STOPPED:
        return "`hcp up` starts it"
    if state != RUNNING:
        return f"see {log_file(config.folder, service.name)}"
    if service.name == "worker":
        return f"pool {config.pool}, {_count(len(_runs(api, config)), 'run')} in progress"
    if service.name == "ray":
        return (
            f"{HOST}:{config.ports.ray}; the dashboard asks for the token in {token_file(config)}"
        )
    return config.api_url if service.name == "prefect" else "experiments, models, champions"


def _runs(api: PrefectApi, config: StackConfig) -> Sequence[Mapping[str, Any]]:
    try:
        return api.runs(states=ACTIVE, pool=config.pool)
    except (httpx.HTTPError, ValueError):
        return ()


def _deployments(server: Row, api: PrefectApi) -> Row:
    state, detail = STOPPED, "the server does not run"
    if server.state == RUNNING:
        try:
            found, coming = api.deployments(), api.runs(states=("SCHEDULED",))
            state = RUNNING if found else STOPPED
            detail = f"{_count(len(found), 'deployment')}, {_next(coming)}"
        except (httpx.HTTPError, ValueError) as error:
            state, detail = SILENT, str(error)
    return Row(
        service="deployments", state=state, since=None, link=f"{server.link}/deployments",
        detail=detail,
    )  # fmt: skip


def _next(runs: Sequence[Mapping[str, Any]]) -> str:
    if not runs:
        return "none scheduled"
    when = datetime.fromisoformat(runs[0]["expected_start_time"]).astimezone(UTC)
    return f"next {runs[0]['name']} at {when:%Y-%m-%d %H:%M} UTC"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
