"""What code made something: the commit it was checked out at, the versions of its libraries."""

import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CODE = Path(__file__).parents[1]


def git_commit(folder: Path = _CODE) -> tuple[str, bool] | None:
    """The commit that a checkout stands at, and whether tracked files differ from it.

    None where the folder is no checkout, as with an installed package, or where there is no git.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None


def library_versions(names: Sequence[str]) -> dict[str, str]:
    """Installed versions by the distribution's name; what is not installed is left out."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(folder: Path, *command: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(folder), *command], capture_output=True, text=True, check=True, timeout=10
    )
    return run.stdout.strip()
