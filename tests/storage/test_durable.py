"""Mounts that lack what a disk has: they are written to, and what is wrong for good is said."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from storage.layout import Root
from storage.locations import write_atomic
from storage.records import Reject
from storage.runlog import RunLog
from storage.shards import commit_unit
from storage.verify import verify_root

UNABLE = ["EINVAL", "ENOTSUP", "ENOSYS", "EBADF"]
CLOSED = ["EACCES", "EPERM", "EISDIR"]
BROKEN = ["ENOSPC", "EIO", "EDQUOT"]


def refusing(monkeypatch: pytest.MonkeyPatch, name: str, code: str, *, directories: bool) -> None:
    """A mount on which ``os.open`` or ``os.fsync`` fails, of directories or of files."""
    real: Any = getattr(os, name)

    def call(target: Any, *args: Any, **options: Any) -> Any:
        of_directory = os.path.isdir(f"/proc/self/fd/{target}" if name == "fsync" else target)
        if of_directory == directories:
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        return real(target, *args, **options)

    monkeypatch.setattr(os, name, call)


def commit(root: Path, unit: Any) -> None:
    refused = [Reject(key=r.key, uri=r.uri, reason="no_person", detail="") for r in unit.records]
    commit_unit(Root.of(root), unit, outcomes=refused)


@pytest.mark.parametrize("call", ["open", "fsync"])
@pytest.mark.parametrize("code", UNABLE + CLOSED)
def test_a_mount_that_cannot_flush_a_directory_takes_shards_and_small_files(
    tmp_path: Path, make_unit_of: Any, monkeypatch: pytest.MonkeyPatch, call: str, code: str
) -> None:
    refusing(monkeypatch, call, code, directories=True)
    commit(tmp_path, make_unit_of(2))
    write_atomic(str(tmp_path / "f"), b"x")
    monkeypatch.undo()
    assert (tmp_path / "f").read_bytes() == b"x"
    assert verify_root(str(tmp_path)) == []
    assert not [path for path in tmp_path.rglob("*") if ".tmp-" in path.name]


@pytest.mark.parametrize("code", UNABLE)
def test_a_mount_that_cannot_flush_a_file_takes_them_too(
    tmp_path: Path, make_unit_of: Any, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    refusing(monkeypatch, "fsync", code, directories=False)
    commit(tmp_path, make_unit_of(2))
    monkeypatch.undo()
    assert verify_root(str(tmp_path)) == []


@pytest.mark.parametrize("directories", [True, False])
@pytest.mark.parametrize("code", BROKEN)
def test_a_full_or_broken_disk_stays_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, directories: bool
) -> None:
    refusing(monkeypatch, "fsync", code, directories=directories)
    with pytest.raises(OSError, match=os.strerror(getattr(errno, code))):
        write_atomic(str(tmp_path / "f"), b"x")


def test_a_mount_without_renames_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match=r"cannot rename files.*s3://"):
        write_atomic(str(tmp_path / "f"), b"x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [*UNABLE, "EPERM"])
def test_a_mount_that_cannot_append_gets_a_run_log_of_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    real: Any = Path.open

    def opened(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if mode == "a" and path.exists():
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        return real(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", opened)
    with RunLog(Root.of(tmp_path), "rebuild") as log:
        for number in range(3):
            log.append("unit", number=number)
    first, own = sorted((tmp_path / "runs").iterdir(), key=lambda path: len(path.name))
    assert first.name == "rebuild.jsonl"
    assert [path.read_text().count("\n") for path in (first, own)] == [1, 2]
