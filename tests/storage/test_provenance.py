"""What code made something."""

import subprocess
from pathlib import Path

from storage.provenance import git_commit, library_versions


def git(folder: Path, *command: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@y"]
    run = subprocess.run(
        ["git", *identity, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    return run.stdout.strip()


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == (commit, False)
    (tmp_path / "new").write_text("a")
    assert git_commit(tmp_path) == (commit, False)
    (tmp_path / "file").write_text("b")
    assert git_commit(tmp_path) == (commit, True)


def test_what_is_no_checkout_has_no_commit(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: nowhere")
    assert git_commit(tmp_path) is None
    assert git_commit(tmp_path / "absent") is None


def test_versions_of_what_is_installed() -> None:
    found = library_versions(["numpy", "no-such-library"])
    assert list(found) == ["numpy"]
    assert found["numpy"][0].isdigit()
