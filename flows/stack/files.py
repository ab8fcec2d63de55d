"""The small files of a stack's folder: a lock, Ray's token, the variables for terminals."""

import fcntl
import os
import secrets
import shlex
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from flows.stack.config import StackConfig, StackError
from flows.stack.services import client_environment, ray_folder, token_file

_KEPT_SESSIONS = 2  # of Ray: the logs of the last starts


@contextmanager
def alone(folder: Path, say: Callable[[str], None]) -> Generator[None]:
    """Hold the folder's lock: two commands that start or stop it take turns.

    Raises:
        StackError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a")
    except OSError as error:
        raise StackError(
            f"--dir {folder}: cannot be written ({error}); give a folder of your own"
        ) from error
    with lock:  # closing it gives it back, and so does the end of this process
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another `hcp up` or `hcp down` works in {folder}: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def environment_file(folder: Path) -> Path:
    """What a shell reads to use the stack."""
    return folder / "env"


def write_client_files(config: StackConfig) -> None:
    """The variables for terminals, and the token that lets them use the Ray head."""
    lines = [
        "# For this terminal: prefect, hcp, ray and mlflow use the stack of `hcp up`.",
        *(
            f"export {name}={shlex.quote(value)}"
            for name, value in client_environment(config).items()
        ),
        "unset RAY_AUTH_TOKEN",
    ]
    environment_file(config.folder).write_text("\n".join([*lines, ""]), encoding="utf-8")
    token = token_file(config)
    if not token.exists():
        with os.fdopen(os.open(token, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(32))


def clear_ray_sessions(config: StackConfig) -> None:
    """Each start of Ray makes a folder of sockets and logs: keep the last ones."""
    sessions = sorted(
        path for path in ray_folder(config).glob("session_2*") if not path.is_symlink()
    )
    for path in sessions[:-_KEPT_SESSIONS]:
        shutil.rmtree(path, ignore_errors=True)
