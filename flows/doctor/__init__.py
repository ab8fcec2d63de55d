"""``hcp doctor``: what is wrong with a machine and a server, in words, and what to do about it."""

from pathlib import Path

from flows.doctor.findings import Finding
from flows.doctor.machine import check_machine
from flows.doctor.packages import check_packages
from flows.doctor.places import check_places
from flows.stack.config import stack_folder

__all__ = ["Finding", "examine"]


def examine(folder: Path | None = None) -> list[Finding]:
    """One row for each check: what, state (ok, note, bad), found, and what to do.

    Args:
        folder: of the local stack; default as in ``hcp up``.
    """
    place = folder or stack_folder()
    return [*check_packages(), *check_machine(place), *check_places(place)]
