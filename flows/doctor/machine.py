"""This machine: what of it we may use, GPUs, disk, shared memory, clock, weights."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from glob import glob
from importlib.metadata import version
from pathlib import Path

from flows.doctor.findings import Finding, bad, note, ok
from flows.gpu_here import surroundings, why_no_gpu

MIN_FREE_GIB, MIN_SHARED_GIB = 10, 1
_GIB = 2**30
_CONTAINER_SIGNS = "/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io"
_DAY_S = 86_400


def check_machine(folder: Path) -> Iterator[Finding]:
    """All of it.

    Args:
        folder: the local stack's, whose disk is looked at as well as that of the working directory.
    """
    yield _size()
    yield check_gpu()
    yield check_clock()
    yield _weights()
    places = {os.stat(place).st_dev: place for place in map(_existing, (folder, Path.cwd()))}
    yield from map(check_disk, places.values())
    yield from _shared_memory()


def check_disk(place: Path, *, least_gib: float = MIN_FREE_GIB) -> Finding:
    """Free room on the disk of a folder."""
    free = shutil.disk_usage(place).free / _GIB
    found = f"{free:.0f} GiB of {place}"
    if free >= least_gib:
        return ok("free disk", found)
    return bad(
        "free disk",
        f"{found}, needs {least_gib:g}",
        "make room: `hcp gc ROOT` deletes shards that no version names; Ray's spilled objects and "
        "old logs lie in /tmp/ray",
    )


def check_gpu(devices: str = "/dev/nvidia[0-9]*") -> Finding:
    """GPUs that this process sees; where it sees none though there are some, why."""
    from priors.device import describe_gpus

    if seen := describe_gpus():
        return ok("gpu", seen)
    none = "none: everything runs on the CPU, slowly"
    if present := glob(devices):
        torch = version("torch")
        found = f"{len(present)} in the machine, but torch {torch} sees none"
        if "+cpu" in torch:
            return bad("gpu", found, "install a CUDA build of torch: pytorch.org/get-started")
        return bad(
            "gpu", found,
            "look at `nvidia-smi` (driver too old?), and at CUDA_VISIBLE_DEVICES: is it empty?",
        )  # fmt: skip
    if why := why_no_gpu(surroundings()):
        return bad("gpu", none, why)
    if any(map(os.path.exists, _CONTAINER_SIGNS)):
        return note(
            "gpu",
            f"{none}; this is a container",
            "if the machine has one: docker run --gpus all, podman run --device "
            "nvidia.com/gpu=all, or resources.limits nvidia.com/gpu: 1 in Kubernetes",
        )
    return note("gpu", none)


def check_clock(*, now_s: float | None = None, written_s: float | None = None) -> Finding:
    """Whether the clock can be right: a wrong one makes schedules late or early, and signs of S3
    stores and heartbeats invalid.

    Args:
        now_s: what it shows; default now.
        written_s: when our own code was written; default that of this file.
    """
    shown = time.time() if now_s is None else now_s
    written = Path(__file__).stat().st_mtime if written_s is None else written_s
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(shown))
    do = "timedatectl set-ntp true, or set the clock by hand"
    if shown < written - _DAY_S:
        return bad("clock", f"{when}: before this program was installed", do)
    if _synchronised() == "no":
        return note("clock", f"{when}, held by no time server", do)
    return ok("clock", when)


def _synchronised() -> str:
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _size() -> Finding:
    from flows.machine import this_machine

    found = this_machine()
    return ok(
        "machine",
        f"{found.cpus:g} CPUs, {found.memory_bytes / _GIB:.1f} GiB of memory, "
        f"{found.free_bytes / _GIB:.1f} free (limits of containers and jobs counted)",
    )


def _weights() -> Finding:
    from flows.names import EMBEDDED_FOLDERS, model_path

    folders = [Path(model_path("embedded", kind)) for kind in EMBEDDED_FOLDERS]
    missing = [str(path) for path in folders if not path.is_dir()]
    if missing:
        return bad("weights", f"missing: {', '.join(missing)}", "install hcp again: it brings them")
    empty = [
        str(file) for folder in folders for file in folder.rglob("*.safetensors")
        if file.stat().st_size < 1024
    ]  # fmt: skip
    if empty:
        return bad("weights", f"pointers, not weights: {', '.join(empty)}", "git lfs pull")
    return ok("weights", "embedded models present; `hcp weights` lists those known by name")


def _shared_memory(place: Path = Path("/dev/shm")) -> Iterator[Finding]:
    if not place.is_dir():
        return
    size = shutil.disk_usage(place).total / _GIB
    if size < MIN_SHARED_GIB:
        yield note(
            "shared memory",
            f"{size:.2f} GiB in {place}: Ray puts its objects on the disk instead, slowly",
            "docker run --shm-size=4g, or an emptyDir of medium Memory in Kubernetes",
        )


def _existing(place: Path) -> Path:
    return next(each for each in (place, *place.parents) if each.is_dir())
