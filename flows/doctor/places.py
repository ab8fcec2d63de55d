"""What this terminal is connected with: the local stack, its ports, Ray, the model registry."""

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import httpx

from flows.doctor.findings import Finding, bad, note, ok
from flows.doctor.server import check_server
from flows.stack.config import StackConfig, StackError, option, remembered
from flows.stack.files import environment_file
from flows.stack.ports import holder, is_free
from flows.stack.state import STOPPED, StackState, listens, look

_LIMIT_S = 5


def check_places(folder: Path) -> Iterator[Finding]:
    """The stack of a folder, then what the variables of this terminal name."""
    try:
        config = remembered(folder)
    except StackError as error:
        yield bad("local stack", str(error), "see there")
        config = None
    state = look(config) if config is not None else None
    if state is None:
        yield note("local stack", f"none in {folder}", "hcp up, for a server that runs schedules")
    else:
        yield _stack(state)
    if state is None or state.stopped:
        yield from check_ports(config or StackConfig(folder=folder))
    yield from _prefect(folder, state)
    yield check_ray(os.environ.get("RAY_ADDRESS"), Path.home())
    yield _registry()


def check_ports(config: StackConfig) -> Iterator[Finding]:
    """Ports that ``hcp up`` would take, and that another program has."""
    for name, port in asdict(config.ports).items():
        try:
            taken = not is_free(port)
        except OSError as error:
            yield bad("ports", f"{port}: {error}", f"hcp up {option(name)} N, from 1024 on")
            continue
        if taken and name in config.given:
            yield bad(
                "ports", f"{port} is taken by {holder(port)}", f"end it, or hcp up {option(name)} 0"
            )
        elif taken:
            yield note("ports", f"{port} is taken by {holder(port)}", "hcp up takes another")


def check_ray(address: str | None, home: Path) -> Finding:
    """The cluster that flows would use, or whether a local Ray can start."""
    if address is None:
        if not os.access(home, os.W_OK):
            return bad(
                "ray", f"{home} cannot be written, where a local Ray keeps its token",
                "set HOME to a folder of your own, or RAY_AUTH_TOKEN",
            )  # fmt: skip
        return note("ray", "RAY_ADDRESS unset: each flow run starts a local Ray")
    if address in ("auto", "local") or listens(address, limit_s=_LIMIT_S):
        return ok("ray", address)
    return bad(
        "ray",
        f"nothing answers at {address}",
        "start the cluster (hcp up, or ray start --head), or unset RAY_ADDRESS",
    )


def _stack(state: StackState) -> Finding:
    wrong = [f"{row.service} {row.state}" for row in state.rows if row.state != "running"]
    if not wrong:
        return ok("local stack", f"{state.config.folder}: all of it runs")
    if state.stopped:
        return note("local stack", f"{state.config.folder}: stopped", "hcp up")
    logs = state.config.folder / "logs"
    return bad("local stack", f"{state.config.folder}: {', '.join(wrong)}", f"hcp up; logs: {logs}")


def _prefect(folder: Path, state: StackState | None) -> Iterator[Finding]:
    url = os.environ.get("PREFECT_API_URL")
    running = state is not None and state.rows[0].state != STOPPED
    if url is None and state is not None and running:
        yield note(
            "PREFECT_API_URL",
            "unset in this terminal: what it starts is not in the stack's UI",
            f". {environment_file(folder)}",
        )
        url = state.config.api_url
    if url is None:
        yield note("prefect server", "PREFECT_API_URL unset: each command starts its own")
        return
    start = "start it (hcp up, or prefect server start), or unset PREFECT_API_URL"
    yield from check_server(url, start)


def _registry() -> Finding:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return note("model registry", "MLFLOW_TRACKING_URI unset: hcp-registry.db in each folder")
    if not uri.startswith("http"):
        return ok("model registry", uri.rpartition("@")[2])
    try:
        httpx.get(f"{uri}/health", timeout=_LIMIT_S).raise_for_status()
    except httpx.HTTPError as error:
        return bad(
            "model registry", f"{uri} does not answer: {error}",
            "start it (hcp up, or mlflow server), or correct MLFLOW_TRACKING_URI",
        )  # fmt: skip
    return ok("model registry", uri)
