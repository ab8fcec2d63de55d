"""What ``hcp doctor`` looks at, and what a user can do about it."""

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx

from flows.gpu_here import surroundings, why_no_gpu
from storage.extras import install_command

MIN_FREE_GIB = 10
PACKAGES = ("torch", "diffusers", "prefect", "ray", "ultralytics", "segment-anything", "mlflow")


def examine() -> list[dict[str, Any]]:
    """One row per check: what, state (ok, note, bad), found."""
    return [
        _python(),
        *map(_package, PACKAGES),
        _machine(),
        _gpu(),
        _prefect(),
        _ray(),
        _embedded(),
        _disk(),
    ]


def _row(what: str, state: str, found: str) -> dict[str, Any]:
    return {"what": what, "state": state, "found": found}


def _python() -> dict[str, Any]:
    found = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return _row("python", "ok" if good else "bad", f"{found} (needs 3.11 or 3.12)")


def _package(name: str) -> dict[str, Any]:
    try:
        return _row(name, "ok", version(name))
    except PackageNotFoundError:
        command = install_command(name.replace("-", "_"))
        return _row(name, "note" if command else "bad", f"not installed; {command or 'make'}")


def _machine() -> dict[str, Any]:
    from flows.machine import this_machine

    found, gib = this_machine(), 2**30
    return _row(
        "machine",
        "ok",
        f"{found.cpus:g} CPUs, {found.memory_bytes / gib:.1f} GiB of memory, "
        f"{found.free_bytes / gib:.1f} free (limits of containers and jobs counted)",
    )


def _gpu() -> dict[str, Any]:
    from priors.device import describe_gpus

    gpus = describe_gpus()
    if not gpus and (why := why_no_gpu(surroundings())):
        return _row("gpu", "bad", why)
    return _row("gpu", "ok" if gpus else "note", gpus or "none: everything runs on the CPU, slowly")


def _prefect() -> dict[str, Any]:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return _row("prefect", "note", "PREFECT_API_URL unset: each command starts its own server")
    try:
        httpx.get(f"{url}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        return _row("prefect", "bad", f"{url} does not answer: {error}")
    return _row("prefect", "ok", url)


def _ray() -> dict[str, Any]:
    address = os.environ.get("RAY_ADDRESS")
    found = address or "RAY_ADDRESS unset: each flow run starts a local Ray"
    return _row("ray cluster", "ok" if address else "note", found)


def _embedded() -> dict[str, Any]:
    from flows.names import EMBEDDED_FOLDERS, model_path

    missing = [
        path
        for path in (model_path("embedded", kind) for kind in EMBEDDED_FOLDERS)
        if not os.path.isdir(path)
    ]
    return _row("embedded models", "bad" if missing else "ok", ", ".join(missing) or "present")


def _disk() -> dict[str, Any]:
    free_gib = shutil.disk_usage(".").free / 2**30
    state = "ok" if free_gib >= MIN_FREE_GIB else "bad"
    return _row("free disk", state, f"{free_gib:.0f} GiB here (needs {MIN_FREE_GIB})")
