"""Processes that belong to a stack, found by a mark in their environment.

The mark is inherited by all that they start, and no file is needed to know what runs: after a power
cut there is nothing stale. Ray's workers overwrite their environment: they are found as children of
marked processes, or in their sessions.
"""

import os
import subprocess
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from flows.stack.services import Service, interpreter

MARK, SERVICE_MARK = "_HCP_STACK", "_HCP_SERVICE"
_LARGEST_LOG_BYTES = 20 * 2**20


def start(service: Service, folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Start a service in a session of its own: it outlives the terminal. Output goes to its log."""
    log = log_file(folder, service.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LARGEST_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            [interpreter(), *service.command],
            cwd=folder,
            env=environment | {MARK: str(folder), SERVICE_MARK: service.name},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def log_file(folder: Path, name: str) -> Path:
    """Where a service's output goes."""
    return folder / "logs" / f"{name}.log"


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, for a message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return str(error)
    return "\n".join(f"  {line}" for line in lines[-count:] if line.strip())


def marked(folder: Path) -> list[psutil.Process]:
    """Every process of this stack, flow runs and Ray's workers too; never this one or its own."""
    everything = list(psutil.process_iter())
    found = {process.pid: process for process in everything if _is_marked(process, folder)}
    sessions = _own_sessions(found)
    found |= {each.pid: each for each in everything if _session(each.pid) in sessions}
    for process in tuple(found.values()):
        with suppress(psutil.NoSuchProcess):
            found |= {child.pid: child for child in process.children(recursive=True)}
    own = psutil.Process()
    for process in (own, *own.parents()):
        found.pop(process.pid, None)
    return [process for process in found.values() if _lives(process)]


def leader(service: Service, processes: Iterable[psutil.Process]) -> psutil.Process | None:
    """The process of a service, among those of a stack."""
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = process.cmdline()
            if service.sign in " ".join(words) and _session(process.pid) == process.pid:
                return process
    return None


def end(processes: Sequence[psutil.Process], *, patience_s: float) -> list[psutil.Process]:
    """Ask processes to end; those that still live after so many seconds are given back."""
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.terminate()
    return psutil.wait_procs(processes, timeout=patience_s)[1]


def kill_all(folder: Path, *, limit_s: float = 20) -> list[psutil.Process]:
    """Kill every process of the stack; those that cannot be killed are given back."""
    deadline = time.monotonic() + limit_s
    while left := marked(folder):
        for process in left:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        psutil.wait_procs(left, timeout=1)
        if time.monotonic() > deadline:
            return marked(folder)
    return []


def left_of(service: Service, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """What a service that died has left running."""
    found: list[psutil.Process] = []
    for process in processes:
        with suppress(psutil.Error, OSError):
            if process.environ().get(SERVICE_MARK) == service.name:
                found.append(process)
    return found


def _own_sessions(found: Collection[int]) -> set[int]:
    """The sessions that the stack has begun: led by a marked process, or by one that is gone.

    A session that anything else leads, such as a terminal's, is not ours whatever runs in it.
    """
    sessions = {session for pid in found if (session := _session(pid)) is not None}
    return {
        session for session in sessions - {os.getsid(0)}
        if session in found or not psutil.pid_exists(session)
    }  # fmt: skip


def _is_marked(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(folder)
    except (psutil.Error, OSError):
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # its parent has not asked for its end yet
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
