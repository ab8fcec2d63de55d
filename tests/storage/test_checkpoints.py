"""A checkpoint's digest; what the registry refuses is in test_registry."""

import hashlib
import json

import fsspec
import pytest

from storage.checkpoints import COMPLETE_NAME, verify_checkpoint
from storage.errors import CheckpointError

FILES = {"adapter.safetensors": b"weights", "trainer_state/state.json": b"{}"}


def _marker(files=FILES) -> bytes:
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    return json.dumps({"files": digests}).encode()


def _write(root: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        with fsspec.open(f"{root}/{name}", "wb", auto_mkdir=True) as file:
            file.write(data)


def test_the_digest_is_of_the_content_wherever_it_lies(tmp_path):
    roots = [str(tmp_path / "a"), str(tmp_path / "b"), f"memory://checkpoint-{tmp_path.name}"]
    for root in roots:
        _write(root, FILES | {COMPLETE_NAME: _marker()})
    (tmp_path / "b" / "notes.txt").write_text("not listed, so not part of it")
    digests = {verify_checkpoint(root) for root in roots}
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_another_content_is_another_digest(tmp_path):
    changed = FILES | {"adapter.safetensors": b"other"}
    _write(str(tmp_path / "a"), FILES | {COMPLETE_NAME: _marker()})
    _write(str(tmp_path / "b"), changed | {COMPLETE_NAME: _marker(changed)})
    assert verify_checkpoint(str(tmp_path / "a")) != verify_checkpoint(str(tmp_path / "b"))


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "a/../../b"])
def test_a_marker_cannot_name_files_elsewhere(tmp_path, name):
    _write(str(tmp_path), {COMPLETE_NAME: json.dumps({"files": {name: "0"}}).encode()})
    with pytest.raises(CheckpointError, match="outside the checkpoint"):
        verify_checkpoint(str(tmp_path))
