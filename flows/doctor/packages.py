"""Versions: of Python, and of every installed library against what our own extras ask for."""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import InvalidRequirement, Requirement

from flows.doctor.findings import Finding, bad, note, ok
from storage.extras import install_command

SHOWN = ("torch", "diffusers", "prefect", "ray", "ultralytics", "segment-anything", "mlflow")
_BREAKS = {
    "fastapi": "Prefect's server does not start, or refuses deployments",
    "sqlalchemy": "cron schedules create no runs, and nothing says so",
}
"""What a version that is too new does, where it does not show by itself."""


def check_packages() -> Iterator[Finding]:
    """Python, the large libraries, and each library of a version that we do not work with."""
    found = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        yield ok("python", found)
    else:
        yield bad("python", f"{found}, needs 3.11 or 3.12", "make, with PYTHON=/path/to/python3.11")
    wrong = dict(misfits(requires_of("hcp")))
    for name in SHOWN:
        if name not in wrong:
            yield _shown(name)
    for name, (got, wanted) in wrong.items():
        breaks = f": {_BREAKS[name]}" if name in _BREAKS else ""
        yield bad(
            name,
            f"{got}, needs {wanted}{breaks}",
            f"pip install '{name}{wanted}', or -c constraints.txt for all of them",
        )


def requires_of(distribution: str) -> tuple[str, ...]:
    """The requirements of an installed distribution, those of its extras too."""
    try:
        return tuple(requires(distribution) or ())
    except PackageNotFoundError:  # run from a folder: nothing to hold the libraries against
        return ()


def misfits(requirements: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Installed libraries of other versions than required: name, installed, required."""
    for text in requirements:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        try:
            got = version(wanted.name)
        except PackageNotFoundError:
            continue  # of an extra that is not installed
        if not wanted.specifier.contains(got, prereleases=True):
            yield wanted.name, (got, str(wanted.specifier))


def _shown(name: str) -> Finding:
    try:
        return ok(name, version(name))
    except PackageNotFoundError:
        command = install_command(name.replace("-", "_"))
        do = command or "make, or pip install hcp"
        return (note if command else bad)(name, "not installed", do)
