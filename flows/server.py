"""A private Prefect server for one command: started on a free loopback port, stopped with it."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from flows.stack.ports import any_free

logger = logging.getLogger(__name__)

START_LIMIT_S = 300
STOP_LIMIT_S = 20


def server_environment(home: Path, port: int, *, database: str | None = None) -> dict[str, str]:
    """The variables under which a private server and its clients agree, with no telemetry.

    Args:
        home: where Prefect keeps its files.
        port: of the server.
        database: ``postgresql+asyncpg://...``; None: a SQLite file in ``home``.
    """
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_API_DATABASE_CONNECTION_URL": database or f"sqlite+aiosqlite:///{home}/prefect.db",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        # By default leases are kept in memory: a restart would leave the locks' slots taken.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "DO_NOT_TRACK": "1",
    }


@contextmanager
def private_server(home: Path, *, database: str | None = None) -> Generator[Mapping[str, str]]:
    """Run a Prefect server whose database and log live in ``home``; yield its environment.

    With ``database``, a ``postgresql+asyncpg://`` URL, only its log lives there.

    Raises:
        RuntimeError: the server did not answer in time; the message names its log.
    """
    home.mkdir(parents=True, exist_ok=True)
    port = any_free()
    environment = server_environment(home.resolve(), port, database=database)
    log = home / "server.log"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_healthy(process, environment["PREFECT_API_URL"], log)
            yield environment
        finally:
            _stop(process)


def _wait_until_healthy(process: subprocess.Popen[bytes], api_url: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(
                f"the Prefect server ended with code {process.returncode}: see {log}"
            )
        try:
            if httpx.get(f"{api_url}/health", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.3)
    raise RuntimeError(f"the Prefect server did not answer within {START_LIMIT_S} s: see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it started: they share one process group."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sig)
        except ProcessLookupError:
            return
        try:
            process.wait(STOP_LIMIT_S)
            return
        except subprocess.TimeoutExpired:
            logger.warning("the Prefect server did not stop on signal %s", sig)
