"""From what a user asks of ``hcp up`` to the stack that is to run, with every refusal first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import psutil

from flows.stack.config import (
    StackConfig,
    StackError,
    option,
    refuse_taken,
    remembered,
    with_ports,
)
from flows.stack.databases import server_of
from flows.stack.processes import kill_all, leader, left_of, marked
from flows.stack.services import Service, services
from flows.stack.state import listens
from storage.extras import install_command

READY_LIMIT_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked of ``hcp up``; None: as it was the last time."""

    folder: Path
    ports: Mapping[str, int | None] = field(default_factory=dict[str, int | None])
    pool: str | None = None
    database: str | None = None
    mlflow_database: str | None = None
    ray_address: str | None = None
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    limit_s: float = READY_LIMIT_S


def settled(wish: Wish, say: Callable[[str], None]) -> tuple[StackConfig, list[Service]]:
    """The stack, and what of it is to be started; what its dead services have left is ended.

    Raises:
        StackError: see ``bring_up``.
    """
    config = remembered(wish.folder) or StackConfig(folder=wish.folder)
    asked = {
        name: value
        for name in ("pool", "database", "mlflow_database", "ray_address")
        if (value := getattr(wish, name)) is not None
    }
    here = marked(wish.folder)
    if any(leader(service, here) for service in services(config)):
        _refuse_changes(config, wish, asked)
        missing = [service for service in services(config) if leader(service, here) is None]
        _check_libraries(missing)
        _make_way(config, missing, here)
        return config, missing
    wanted = replace(config, **asked)
    _check_cluster(wanted.ray_address)
    _check_databases(wanted)
    if here:
        say(f"ending {len(here)} processes that a former start has left")
        kill_all(wish.folder)
    config = with_ports(wanted, wish.ports)
    _check_libraries(services(config))
    _tell_moved(wanted, config, wish.ports, say)
    return config, list(services(config))


def _refuse_changes(config: StackConfig, wish: Wish, asked: Mapping[str, str]) -> None:
    ports = {name: port for name, port in wish.ports.items() if port}
    differ = [
        f"{option(name)} {port} (now {getattr(config.ports, name)})"
        for name, port in ports.items()
        if getattr(config.ports, name) != port
    ]
    differ += [
        f"--{name.replace('_', '-')}" for name, value in asked.items()
        if getattr(config, name) != value
    ]  # fmt: skip
    if differ:
        raise StackError(
            f"{', '.join(differ)}: the stack in {config.folder} runs already, with other settings; "
            "`hcp down`, then `hcp up` with these"
        )


def _make_way(
    config: StackConfig, missing: Sequence[Service], here: Sequence[psutil.Process]
) -> None:
    for service in missing:
        if service.name != "worker":  # its flow runs go on without it
            psutil.wait_procs(_killed(left_of(service, here)), timeout=10)
        for name in service.ports:
            refuse_taken(name, getattr(config.ports, name))


def _killed(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    gone: list[psutil.Process] = []
    for process in processes:
        try:
            process.kill()
            gone.append(process)
        except psutil.NoSuchProcess:
            continue
    return gone


def _check_libraries(wanted: Iterable[Service]) -> None:
    for service in wanted:
        if find_spec(service.library) is None:
            command = install_command(service.library)
            raise StackError(
                f"{service.name}: the library {service.library} is not installed; it comes with "
                f"{command}"
            )


def _check_cluster(address: str | None) -> None:
    if address is not None and not listens(address):
        raise StackError(
            f"--ray-address {address}: nothing answers there; expected host:port of a running Ray "
            "head (`ray start --head`), or leave the option out and `hcp up` starts one"
        )


def _check_databases(config: StackConfig) -> None:
    for name in ("database", "mlflow_database"):
        url, chosen = getattr(config, name), f"--{name.replace('_', '-')}"
        server = server_of(url, chosen) if url else None
        if server is not None and not listens(server):
            raise StackError(
                f"{chosen}: nothing answers at {server}; start the database's server, or give "
                f"another {chosen} (the last one is remembered)"
            )


def _tell_moved(
    before: StackConfig,
    config: StackConfig,
    asked: Mapping[str, int | None],
    say: Callable[[str], None],
) -> None:
    was, now = asdict(before.ports), asdict(config.ports)
    for name, port in now.items():
        if was[name] != port and asked.get(name) is None:
            say(f"{option(name)}: {was[name]} is taken, so it is {port} from now on")
