"""What this process may use of its machine: less than the machine has, in a container or a job.

Ray looks at the limits of a container's own control group. A limit further up or down the tree (a
systemd slice, Slurm, Kubernetes' pods), and CPUs that a process is pinned to, it does not see.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")

_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is there for this process."""

    cpus: float
    memory_bytes: int  # at most, the limits counted
    free_bytes: int  # of it, not in use now; what the kernel would give back counts as free


def this_machine(*, cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> Machine:
    """Read the limits of this process."""
    memory = psutil.virtual_memory()
    limits = [(memory.total, memory.available)]
    cpus = [float(_allowed_cpus())]
    for folder in _groups("memory", cgroups, membership):
        for names in (_V2, _V1):
            limits += _memory_of(folder, *names)
    for folder in _groups("cpu", cgroups, membership):
        cpus += _cpus_of(folder)
    return Machine(
        cpus=min(cpus),
        memory_bytes=min(most for most, _ in limits),
        free_bytes=max(0, min(free for _, free in limits)),
    )


def _allowed_cpus() -> int:
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _groups(controller: str, cgroups: Path, membership: Path) -> Iterator[Path]:
    """The folders of the process's groups and all above them, as far as they can be seen."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        base = cgroups / names if names else cgroups
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield base.joinpath(*parts[:depth])
        if names:  # mounted under the controller's own name
            yield cgroups / controller


def _memory_of(folder: Path, limit: str, used: str, cached: str) -> list[tuple[int, int]]:
    most, now = _number(folder / limit), _number(folder / used)
    if most is None or now is None:  # "max": no limit
        return []
    return [(most, most - now + _stat(folder / "memory.stat", cached))]


def _cpus_of(folder: Path) -> list[float]:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        found = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        quota, period = (str(each or 0) for each in found)
    if not quota.isdecimal() or not int(quota) or not int(period):
        return []
    return [int(quota) / int(period)]


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _stat(file: Path, name: str) -> int:
    try:
        rows = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return 0
    return next((int(row[1]) for row in rows if row[0] == name), 0)
