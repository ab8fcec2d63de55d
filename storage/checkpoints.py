"""Checkpoint directories as the registry sees them: complete, and unchanged since."""

import hashlib
import json

from storage.canonical import digest_of
from storage.errors import CheckpointError
from storage.locations import filesystem, join, read_bytes

COMPLETE_NAME = "COMPLETE.json"
"""``{"files": {relative path: sha256}}``, written last by whoever writes the checkpoint."""

_BLOCK_BYTES = 2**20


def verify_checkpoint(uri: str) -> str:
    """Re-read every file that ``COMPLETE.json`` names; the digest of that list.

    Raises:
        CheckpointError: the checkpoint is unfinished, or a file is missing or changed.
    """
    files = _listed_files(uri)
    for name, expected in sorted(files.items()):
        place = join(uri, name)
        try:
            got = _sha256(place)
        except OSError as error:
            raise CheckpointError(f"checkpoint file {place} cannot be read: {error}") from error
        if got != expected:
            raise CheckpointError(
                f"checkpoint file {place} changed: expected sha256 {expected}, got {got}"
            )
    return digest_of(files, hex_digits=64)


def _listed_files(uri: str) -> dict[str, str]:
    marker = join(uri, COMPLETE_NAME)
    try:
        files = json.loads(read_bytes(marker))["files"]
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{uri} is not a complete checkpoint: no {COMPLETE_NAME} (it is written last)"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{marker} cannot be read: {error}") from error
    if not isinstance(files, dict) or not files:
        raise CheckpointError(f"{marker}: expected 'files' with at least one file, got {files!r}")
    for name in files:
        if name.startswith("/") or ".." in name.split("/"):
            raise CheckpointError(f"{marker} names {name!r}, which is outside the checkpoint")
    return files


def _sha256(uri: str) -> str:
    digest = hashlib.sha256()
    fs, path = filesystem(uri)
    with fs.open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
