"""How long ``hcp up`` takes: the first time, when all runs, after a power cut; and ``hcp down``.

The peer is a Prefect server by itself, as ``prefect server start`` brings it up, in the same run.
Run: ``python -m benchmarks.bench_up``.
"""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import psutil

from benchmarks.output import ROOT, finish, options
from flows.server import private_server
from flows.stack.processes import kill_all, marked

MOST_S = 60
_PORTS = ("prefect", "mlflow", "ray", "ray-dashboard", "ray-client", "ray-agent")


def hcp(*arguments: str) -> float:
    """Seconds of one command."""
    start = perf_counter()
    subprocess.run([sys.executable, "-m", "flows", *arguments], cwd=ROOT, check=True)
    return perf_counter() - start


def seconds_of(run: Callable[[], object]) -> float:
    """Wall seconds."""
    start = perf_counter()
    run()
    return perf_counter() - start


def processor_seconds(folder: Path) -> float:
    """What all processes of a stack, and those they have waited for, have used so far."""
    total = 0.0
    for process in marked(folder):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def cut_power(folder: Path) -> None:
    """Kill everything at once."""
    if kill_all(folder):
        raise RuntimeError(f"processes of {folder} cannot be killed")


def peer(folder: Path) -> float:
    """Seconds until a fresh Prefect server answers."""
    start = perf_counter()
    with private_server(folder):
        return perf_counter() - start


def measure(folder: Path) -> dict[str, Any]:
    """One life of a stack."""
    where = ("--dir", str(folder))
    ports = [word for name in _PORTS for word in (f"--{name}-port", "0")]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        result: dict[str, Any] = {"first_s": hcp("up", *where, *ports, "--base", "embedded")}
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        result["first_processor_s"] = own + processor_seconds(folder)
        result["processes"] = len(marked(folder))
        result["status_s"] = hcp("status", *where)
        result["again_s"] = hcp("up", *where)
        cut_power(folder)
        result["after_power_cut_s"] = hcp("up", *where)
        result["down_s"] = hcp("down", *where)
        result["left_processes"] = len(marked(folder))
    finally:
        cut_power(folder)
    return {name: round(value, 1) for name, value in result.items()}


def main() -> None:
    """Run, print a table, write the figures."""
    given = options(__doc__, "up").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = {"server_alone_s": round(peer(Path(folder) / "server"), 1)}
        result |= measure(Path(folder).resolve() / "stack")
    finish(given, result, [
        ("hcp up, the first time, s", result["first_s"],
         f"<= {MOST_S}; {result['server_alone_s']} a Prefect server alone"),
        ("  processor seconds of it", result["first_processor_s"], f"<= {2 * MOST_S} on 2 cores"),
        ("hcp up, all runs already, s", result["again_s"], ""),
        ("hcp up, after a power cut, s", result["after_power_cut_s"], f"<= {MOST_S}"),
        ("hcp status, s", result["status_s"], ""),
        ("hcp down, s", result["down_s"], ""),
        ("processes left", result["left_processes"], "0"),
    ])  # fmt: skip


if __name__ == "__main__":
    main()
