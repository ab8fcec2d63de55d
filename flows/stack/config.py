"""Which stack: its folder, ports and places; remembered in the folder for the next ``hcp up``."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from flows.stack.ports import MAX_PORT, any_free, holder, is_free
from storage.errors import HcpError

DEFAULT_FOLDER = "~/.hcp"
FOLDER_VARIABLE = "HCP_HOME"
_FILE = "stack.json"


class StackError(HcpError):
    """The local stack cannot do what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the stack listens, all on 127.0.0.1."""

    prefect: int = 4200
    mlflow: int = 5000
    ray: int = 6379
    ray_dashboard: int = 8265
    ray_client: int = 10001
    ray_agent: int = 52365

    def __post_init__(self) -> None:
        taken: dict[int, str] = {}
        for name, port in asdict(self).items():
            if not 1 <= port <= MAX_PORT:
                raise StackError(f"{option(name)}: expected 1 to {MAX_PORT}, got {port}")
            if port in taken:
                raise StackError(
                    f"{option(taken[port])} and {option(name)} are both {port}: give another to "
                    "one of them, or 0 for any free one"
                )
            taken[port] = name


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """What ``hcp up`` starts."""

    folder: Path
    ports: Ports = field(default_factory=Ports)
    given: tuple[str, ...] = ()  # names of ports that the user chose: never replaced by others
    pool: str = "hcp"
    database: str | None = None  # of Prefect; None: SQLite in the folder
    mlflow_database: str | None = None  # as well
    ray_address: str | None = None  # of a cluster that is there already; None: a head of our own

    def __post_init__(self) -> None:
        if not self.pool.strip() or set("/%") & set(self.pool):
            raise StackError(f"--pool: expected a name without / and %, got {self.pool!r}")

    @property
    def api_url(self) -> str:
        """Of the Prefect server."""
        return f"http://127.0.0.1:{self.ports.prefect}/api"

    @property
    def mlflow_url(self) -> str:
        """Of the tracking server."""
        return f"http://127.0.0.1:{self.ports.mlflow}"


def stack_folder(given: str | os.PathLike[str] | None = None) -> Path:
    """The folder that is meant: the one given, else ``HCP_HOME``, else ``~/.hcp``."""
    text = os.fspath(given or os.environ.get(FOLDER_VARIABLE) or DEFAULT_FOLDER)
    return Path(text).expanduser().resolve()


def remembered(folder: Path) -> StackConfig | None:
    """What the last ``hcp up`` in this folder settled; None: there was none.

    Raises:
        StackError: the file is there and cannot be read.
    """
    file = folder / _FILE
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        known = {each.name for each in fields(StackConfig)}
        values = {name: value for name, value in found.items() if name in known}
        values |= {"ports": Ports(**found["ports"]), "given": tuple(found["given"])}
        return StackConfig(folder=folder, **values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StackError(
            f"{file}: expected what `hcp up` wrote, got {error}; repair it, or delete it: the next "
            "`hcp up` writes it anew, with default ports, and keeps all data"
        ) from error


def remember(config: StackConfig) -> None:
    """Write it for the next ``hcp up``; for this user alone, as a database's URL has a password.

    Raises:
        StackError: the folder cannot be written.
    """
    values = asdict(config)
    del values["folder"]
    file = config.folder / _FILE
    fresh = file.with_suffix(".new")
    try:
        config.folder.mkdir(parents=True, exist_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        fresh.replace(file)
    except OSError as error:
        raise StackError(
            f"--dir {config.folder}: cannot be written ({error}); give a folder of your own"
        ) from error


def with_ports(config: StackConfig, wanted: Mapping[str, int | None]) -> StackConfig:
    """Settle the ports of a stack that does not run.

    Args:
        config: what is remembered.
        wanted: by name, what the user chose now; 0: any free one; None: nothing.

    Raises:
        StackError: a chosen port is taken, or may not be used. One that nobody chose and that is
            taken is replaced by a free one.
    """
    chosen = {name: port for name, port in wanted.items() if port is not None}
    given = {*config.given, *chosen} - {name for name, port in chosen.items() if port == 0}
    ports = asdict(config.ports) | chosen
    settled: set[int] = set()
    for name in sorted(ports, key=lambda name: name not in given):  # the user's own come first
        port = ports[name]
        if name in given:
            refuse_taken(name, port)
        elif port == 0 or port in settled or not _usable(name, port):
            ports[name] = any_free(frozenset({*settled, *ports.values()}))
        settled.add(ports[name])
    return replace(config, ports=Ports(**ports), given=tuple(sorted(given)))


def option(name: str) -> str:
    """The option of ``hcp up`` that sets a port."""
    return f"--{name.replace('_', '-')}-port"


def refuse_taken(name: str, port: int) -> None:
    """See that a port of the user's choice can be had.

    Raises:
        StackError: it cannot; who holds it is in the message.
    """
    if 1 <= port <= MAX_PORT and not _usable(name, port):  # others `Ports` refuses
        raise StackError(
            f"{option(name)} {port} is taken by {holder(port)}: end it, or give another port, "
            f"or {option(name)} 0 for any free one"
        )


def _usable(name: str, port: int) -> bool:
    try:
        return is_free(port)
    except PermissionError as error:
        raise StackError(
            f"{option(name)} {port}: this user may not listen there ({error}); ports from 1024 on "
            "are for everybody"
        ) from error
