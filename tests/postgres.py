"""A real PostgreSQL on loopback for one test session, started as an unprivileged user."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flows.stack.ports import any_free

FOLDERS = "/usr/lib/postgresql/*/bin"  # where Debian keeps what is not on the path
PASSWORD = "s3cret/with@signs"
START_LIMIT_S = 60


class NoPostgresError(RuntimeError):
    """There is no PostgreSQL here that a test could start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A running server: `database` makes one and gives its URL."""

    port: int

    def database(self, name: str, *, driver: str = "postgresql") -> str:
        """The URL, as that driver of SQLAlchemy takes it, of an empty new database."""
        import psycopg2

        login: Any = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="hcp", password=PASSWORD, dbname="postgres"
        )
        login.autocommit = True
        with login.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        login.close()
        return self.url(name, driver=driver)

    def url(self, name: str, *, driver: str = "postgresql") -> str:
        """The URL of a database that is there."""
        return f"{driver}://hcp:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{name}"


def programs() -> Path:
    """The folder that holds initdb and postgres.

    Raises:
        NoPostgresError: there is none.
    """
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/").glob(FOLDERS.lstrip("/")), reverse=True)
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise NoPostgresError(f"no initdb and postgres on the path or in {FOLDERS}")


def unprivileged() -> dict[str, Any]:
    """How a child becomes somebody else than root, whom PostgreSQL refuses; nothing for others.

    Raises:
        NoPostgresError: we are root, and nobody else is known here.
    """
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoPostgresError("PostgreSQL does not run as root, and no other user is known here")


@contextmanager
def serve_postgres() -> Iterator[Postgres]:
    """Run a server whose data lie in a folder of its own; both are gone afterwards.

    Raises:
        NoPostgresError: none is installed, or it does not start here.
    """
    binaries, who = programs(), unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="hcp-postgres-"))  # pytest's are closed to other users
    process: subprocess.Popen[bytes] | None = None
    try:
        (folder / "password").write_text(PASSWORD)
        for path in (folder, folder / "password"):
            os.chown(path, who.get("user", -1), who.get("group", -1))
        data, log = folder / "data", folder / "log"
        _run([binaries / "initdb", "-D", data, "-U", "hcp", "-A", "scram-sha-256", "--no-sync",
              "-E", "UTF8", "--locale=C", f"--pwfile={folder}/password"], folder, who)  # fmt: skip
        port = any_free()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",  # the data do not outlive the tests
            "max_connections": 200,
        }
        words = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", data, *words],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **who,
            )  # fmt: skip
        _wait(process, port, log)
        yield Postgres(port=port)
    finally:
        if process is not None:
            process.terminate()  # "smart" would wait for clients: SIGINT ends their connections
            process.send_signal(2)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[Any], folder: Path, who: dict[str, Any]) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False, **who,
    )  # fmt: skip
    if done.returncode:
        raise NoPostgresError(f"initdb failed: {done.stdout}{done.stderr}")


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if b"ready to accept connections" in log.read_bytes():
            return
        time.sleep(0.1)
    raise NoPostgresError(f"postgres did not start on port {port}: {log.read_text()}")
