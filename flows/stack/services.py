"""The processes of the stack: their commands, their environments, and when they are ready."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.machine import Machine, this_machine
from flows.ray_session import local_resources
from flows.server import server_environment
from flows.stack.config import StackConfig
from flows.stack.databases import for_mlflow, for_prefect
from flows.stack.ports import HOST

# A socket's path has at most 107 bytes, of which Ray's own part takes about 64.
_LONGEST_RAY_FOLDER = 40
# Relative to the folder, in which it runs: no character of a path is one of a URL then.
_MLFLOW_FILE = "sqlite:///mlflow.db"
_OF_ANOTHER_SERVER = (
    "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_PROFILE", "PREFECT_API_DATABASE_CONNECTION_URL", "RAY_AUTH_TOKEN", "RAY_ADDRESS",
    "MLFLOW_REGISTRY_STORE_URI",
)  # fmt: skip
"""Variables of a user's environment that would lead our processes elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process of the stack, with whatever it starts."""

    name: str
    command: tuple[str, ...]  # after the interpreter
    sign: str  # what of the command tells this process from those that it starts
    library: str  # that it needs
    link: str  # for people
    ports: tuple[str, ...] = ()  # fields of ``Ports`` that it listens on
    probe: str | None = None  # a URL that answers when it is ready; None: the worker


def services(config: StackConfig) -> tuple[Service, ...]:
    """All of them, in the order of the table."""
    own_ray = () if config.ray_address else (_ray(config, this_machine()),)
    return (_prefect(config), _worker(config), *own_ray, _mlflow(config))


def environment(config: StackConfig) -> dict[str, str]:
    """What every process of the stack gets beside the user's own environment."""
    home = config.folder / "prefect"
    own = server_environment(home, config.ports.prefect) | {
        # In memory, the default, a slot that a run held when the server died would never be free.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_CLIENT_MAX_RETRIES": "6",
        "PREFECT_WORKER_QUERY_SECONDS": "3",  # a run that is resumed or tried again waits so long
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # four more processes that do nothing for us
        "RAY_raylet_start_wait_time_s": "120",  # 30 are not enough where all start at a time
    }
    if config.database:
        own["PREFECT_API_DATABASE_CONNECTION_URL"] = for_prefect(config.database)
    # Not on the command line, which every user of the machine can read.
    own["MLFLOW_BACKEND_STORE_URI"] = for_mlflow(config.mlflow_database or _MLFLOW_FILE)
    return own | client_environment(config)


def client_environment(config: StackConfig) -> dict[str, str]:
    """What a terminal needs to use the stack."""
    values = {
        "PREFECT_API_URL": config.api_url,
        "MLFLOW_TRACKING_URI": config.mlflow_url,
        "RAY_ADDRESS": config.ray_address or f"{HOST}:{config.ports.ray}",
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), HOST, "localhost"))),
    }
    if config.ray_address is None:
        values |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token_file(config)),
            # Else Ray takes 127.0.0.1 for this machine's address in the network, and listens there.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
    return values


def inherited(variables: Mapping[str, str]) -> dict[str, str]:
    """The user's environment without what names another server or cluster."""
    return {name: value for name, value in variables.items() if name not in _OF_ANOTHER_SERVER}


def token_file(config: StackConfig) -> Path:
    """Who may use the Ray head: those who can read this file."""
    return config.folder / "ray-token"


def ray_folder(config: StackConfig) -> Path:
    """Of Ray's sockets and logs: in the stack's folder where its path is short enough."""
    inside = config.folder / "ray"
    if len(os.fsencode(inside)) <= _LONGEST_RAY_FOLDER:
        return inside
    from hashlib import sha256

    return Path("/tmp") / f"hcp-ray-{sha256(os.fsencode(config.folder)).hexdigest()[:12]}"


def _prefect(config: StackConfig) -> Service:
    url = config.api_url
    return Service(
        name="prefect",
        command=("-m", "prefect", "server", "start", "--host", HOST,
                 "--port", str(config.ports.prefect)),
        sign="prefect server start",
        ports=("prefect",),
        library="prefect",
        link=url.removesuffix("/api"),
        probe=f"{url}/health",
    )  # fmt: skip


def _worker(config: StackConfig) -> Service:
    from platform import node

    return Service(
        name="worker",
        command=("-m", "prefect", "worker", "start", "--pool", config.pool, "--type", "process",
                 "--name", f"hcp-{node() or 'here'}".replace("/", "-").replace("%", "-")),
        sign="prefect worker start",
        library="prefect",
        link=f"{config.api_url.removesuffix('/api')}/work-pools/work-pool/{config.pool}",
    )  # fmt: skip


def _ray(config: StackConfig, machine: Machine) -> Service:
    ports, local = config.ports, local_resources(machine)
    options = {
        "port": ports.ray,
        "node-ip-address": HOST,
        "include-dashboard": "true",
        "dashboard-host": HOST,
        "dashboard-port": ports.ray_dashboard,
        "dashboard-agent-listen-port": ports.ray_agent,
        "ray-client-server-port": ports.ray_client,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": local["num_cpus"],
        "object-store-memory": local["object_store_memory"],
        "memory": local["_memory"],
        "temp-dir": ray_folder(config),
    }
    return Service(
        name="ray",
        command=("-m", "ray.scripts.scripts", "start", "--head", "--block",
                 "--disable-usage-stats", *(f"--{key}={each}" for key, each in options.items())),
        sign="ray.scripts.scripts start",
        ports=("ray", "ray_dashboard", "ray_client", "ray_agent"),
        library="ray",
        link=f"http://{HOST}:{ports.ray_dashboard}",
        probe=f"http://{HOST}:{ports.ray_dashboard}/nodes?view=summary",
    )  # fmt: skip


def _mlflow(config: StackConfig) -> Service:
    return Service(
        name="mlflow",
        command=("-m", "mlflow", "server", "--host", HOST, "--port", str(config.ports.mlflow),
                 "--workers", "1", "--artifacts-destination", "mlartifacts"),
        sign="mlflow server",
        ports=("mlflow",),
        library="mlflow",
        link=config.mlflow_url,
        probe=f"{config.mlflow_url}/health",
    )  # fmt: skip


def interpreter() -> str:
    """The Python that all of them run on."""
    return sys.executable
