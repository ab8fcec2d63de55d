"""What a process may use, in containers, jobs and slices: control groups as files (D02)."""

import os
from pathlib import Path

import psutil
import pytest

from flows.machine import this_machine

GIB = 2**30
FREE = psutil.virtual_memory().available


def tree(folder: Path, membership: str, files: dict[str, str]) -> dict[str, Path]:
    """A machine's control groups; the membership is ``/proc/self/cgroup``."""
    for name, content in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    (folder / "membership").write_text(membership)
    return {"cgroups": folder / "cgroup", "membership": folder / "membership"}


def limited(prefix: str, *, most: str, used: str = "0", cached: str = "0") -> dict[str, str]:
    return {
        f"{prefix}memory.max": most,
        f"{prefix}memory.current": used,
        f"{prefix}memory.stat": f"anon 1\ninactive_file {cached}",
    }


CASES = {
    "a container of version 2": (
        "0::/\n",
        limited("", most=str(GIB), used=str(GIB // 2), cached=str(GIB // 4)) | {
            "cpu.max": "50000 100000"
        },
        (0.5, GIB, 3 * GIB // 4),
    ),
    "a slice above the process": (
        "0::/user.slice/job.scope\n",
        limited("user.slice/", most=str(GIB), used="0")
        | limited("user.slice/job.scope/", most="max"),
        (None, GIB, GIB),
    ),
    "the narrowest of several": (
        "0::/a/b/c\n",
        limited("a/", most=str(4 * GIB)) | limited("a/b/", most=str(GIB)) | {
            "a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000",
        },
        (1.0, GIB, GIB),
    ),
    "a container of version 1": (
        "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n",
        {
            "memory/memory.limit_in_bytes": str(GIB),
            "memory/memory.usage_in_bytes": str(GIB),
            "memory/memory.stat": f"total_inactive_file {GIB // 2}",
            "cpu,cpuacct/cpu.cfs_quota_us": "25000",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        (0.25, GIB, GIB // 2),
    ),
    "no limit of version 1": (
        "4:memory:/\n1:cpu:/\n",
        {
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/memory.usage_in_bytes": "0",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
        (None, None, None),
    ),
    "no limit of version 2": ("0::/\n", {"cpu.max": "max 100000"}, (None, None, None)),
    "groups that cannot be seen": ("0::/elsewhere\n", {}, (None, None, None)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_d02_the_narrowest_limit_counts(name: str, tmp_path: Path) -> None:
    membership, files, (cpus, memory, free) = CASES[name]
    found = this_machine(**tree(tmp_path, membership, files))
    assert found.cpus == min(cpus or 1e9, len(os.sched_getaffinity(0)))
    assert found.memory_bytes == (memory or psutil.virtual_memory().total)
    assert found.free_bytes == free if free else abs(found.free_bytes - FREE) < 4 * GIB


def test_d02_cpus_that_a_process_is_pinned_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert this_machine(cgroups=tmp_path, membership=tmp_path / "none").cpus == 1
