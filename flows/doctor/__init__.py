"""``hcp doctor``: what is wrong with a machine and a server, in words, and what to do about it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from flows.doctor.findings import Finding, note
from flows.doctor.machine import check_machine
from flows.doctor.models import check_models
from flows.doctor.packages import check_packages
from flows.doctor.places import check_places
from flows.environment import unknown
from flows.stack.config import stack_folder

__all__ = ["Finding", "examine"]


def examine(folder: Path | None = None) -> list[Finding]:
    """One row for each check: what, state (ok, note, bad), found, and what to do.

    Args:
        folder: of the local stack; default as in ``hcp up``.
    """
    place = folder or stack_folder()
    return [
        *check_packages(),
        *check_machine(place),
        *check_environment(os.environ),
        *check_places(place),
    ]


def check_environment(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Settings of this terminal: those that nothing reads, and the models that they name."""
    for name, said in unknown(environment):
        yield note("settings", f"{name} is set, but {said}")
    yield from check_models((), environment)
