"""Checkpoints kept by their content, and the pointer to the newest, on disk and in a store."""

import json
from pathlib import Path

import pytest

from storage.checkpoints import COMPLETE_NAME, mark_complete, verify_checkpoint
from storage.errors import CheckpointError
from storage.exports import export_files, follow, kept_place
from storage.locations import exists, join, read_bytes, remove, write_atomic

NAMES = ("a.bin", "deep/b.bin")


def checkpoint(uri: str, content: bytes) -> str:
    """A complete checkpoint of three files, of which two are for use."""
    write_atomic(join(uri, "a.bin"), content)
    write_atomic(join(uri, "deep", "b.bin"), b"the same")
    write_atomic(join(uri, "state", "s.bin"), content)
    mark_complete(uri, (*NAMES, "state/s.bin"))
    return uri


@pytest.fixture(params=["disk", "store"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{tmp_path}/out" if request.param == "disk" else f"memory://{tmp_path.name}/out"


def test_each_content_has_its_place_and_latest_points_to_the_last(out: str, tmp_path: Path) -> None:
    steps = [checkpoint(f"{tmp_path}/{n}", content) for n, content in enumerate((b"1", b"2"))]
    first = export_files(steps[0], NAMES, out)
    assert follow(f"{out}/latest") == first == kept_place(out, verify_checkpoint(first))
    assert (len(first.rpartition("/")[2]), exists(f"{first}/state")) == (16, False)
    second = export_files(steps[1], NAMES, out)
    assert follow(f"{out}/latest") == second != first
    assert (read_bytes(f"{first}/a.bin"), read_bytes(f"{second}/a.bin")) == (b"1", b"2")
    assert export_files(steps[0], NAMES, out) == first == follow(f"{out}/latest")


def test_a_former_latest_folder_is_kept(out: str, tmp_path: Path) -> None:
    former = checkpoint(f"{out}/latest", b"former")
    digest = verify_checkpoint(former)
    assert follow(former) == former
    newest = export_files(checkpoint(f"{tmp_path}/step", b"new"), NAMES, out)
    assert follow(f"{out}/latest") == newest
    assert verify_checkpoint(kept_place(out, digest)) == digest
    assert read_bytes(f"{kept_place(out, digest)}/state/s.bin") == b"former"


def test_a_former_latest_folder_that_is_no_checkpoint_is_kept_too(out: str, tmp_path: Path) -> None:
    for n in range(2):
        write_atomic(f"{out}/latest/notes.txt", str(n).encode())
        newest = export_files(checkpoint(f"{tmp_path}/{n}", str(n).encode()), NAMES, out)
        assert follow(f"{out}/latest") == newest
        assert read_bytes(f"{out}/latest.unfinished-{n}/notes.txt") == str(n).encode()
        remove(f"{out}/latest")


def test_what_is_kept_is_never_overwritten(tmp_path: Path) -> None:
    step, out = checkpoint(f"{tmp_path}/step", b"1"), f"{tmp_path}/out"
    place = export_files(step, NAMES, out)
    Path(place, "a.bin").write_bytes(b"another")
    mark_complete(place, NAMES)
    with pytest.raises(CheckpointError, match="is another checkpoint"):
        export_files(step, NAMES, out)
    assert Path(place, "a.bin").read_bytes() == b"another"
    Path(place, COMPLETE_NAME).unlink()  # a broken-off export is none
    assert export_files(step, NAMES, out) == place
    assert Path(place, "a.bin").read_bytes() == b"1"


def test_a_moved_folder_keeps_its_pointer(tmp_path: Path) -> None:
    export_files(checkpoint(f"{tmp_path}/step", b"1"), NAMES, f"{tmp_path}/out")
    (tmp_path / "out").rename(tmp_path / "moved")
    assert Path(follow(f"{tmp_path}/moved/latest"), "a.bin").read_bytes() == b"1"


@pytest.mark.parametrize("content", ["", "[]", "not json", json.dumps({"other": 1})])
def test_a_file_that_is_no_pointer_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "latest").write_text(content)
    with pytest.raises(CheckpointError, match="a pointer to one"):
        follow(str(tmp_path / "latest"))


def test_what_is_not_there_is_followed_to_itself(tmp_path: Path) -> None:
    assert follow(f"{tmp_path}/x") == f"{tmp_path}/x"
    assert follow("memory://nothing/here") == "memory://nothing/here"
