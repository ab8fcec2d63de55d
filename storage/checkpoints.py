"""The marker of a checkpoint, COMPLETE.json: what makes it complete, and shows if it changed.

``{"files": {relative path: sha256}}``, written last. Without it, or with other bytes beside it, a
directory is no checkpoint.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

from storage.canonical import digest_of
from storage.errors import CheckpointError
from storage.locations import filesystem, join, read_bytes, write_atomic

COMPLETE_NAME = "COMPLETE.json"

_BLOCK_BYTES = 2**20


def mark_complete(uri: str, files: Sequence[str]) -> None:
    """Write the marker that lists these files (paths inside the checkpoint) with their digests."""
    digests = {name: _sha256(join(uri, name)) for name in sorted(files)}
    write_atomic(uri, COMPLETE_NAME, marker_bytes(digests))


def marker_bytes(files: Mapping[str, str]) -> bytes:
    """The marker that lists these files, given with their sha256."""
    return json.dumps({"files": dict(sorted(files.items()))}, indent=1).encode()


def listed_files(uri: str) -> dict[str, str]:
    """The files of a checkpoint, each with the sha256 that the marker has for it.

    Raises:
        CheckpointError: the checkpoint was never finished, or its marker cannot be read.
    """
    marker = join(uri, COMPLETE_NAME)
    try:
        files = json.loads(read_bytes(marker))["files"]
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{uri} is not a complete checkpoint: no {COMPLETE_NAME}, which is written last, so it "
            "was never finished or is none"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{marker} cannot be read: {error!r}") from error
    if not isinstance(files, dict) or not files:
        raise CheckpointError(f"{marker}: expected 'files' with at least one file, got {files!r}")
    for name in files:
        if name.startswith("/") or ".." in name.split("/"):
            raise CheckpointError(f"{marker} names {name!r}, which is outside the checkpoint")
    return files


def read_listed(uri: str, name: str, files: Mapping[str, str]) -> bytes:
    """The content of a file of a checkpoint, checked against ``listed_files``.

    Raises:
        CheckpointError: the marker does not list it, or it is missing or changed.
    """
    if name not in files:
        raise CheckpointError(f"checkpoint {uri}: {COMPLETE_NAME} does not list {name}")
    place = join(uri, name)
    try:
        data = read_bytes(place)
    except OSError as error:
        raise CheckpointError(f"checkpoint file {place} cannot be read: {error}") from error
    _check(uri, name, expected=files[name], got=hashlib.sha256(data).hexdigest())
    return data


def verify_checkpoint(uri: str) -> str:
    """Re-read every file that ``COMPLETE.json`` names; the digest of that list.

    Raises:
        CheckpointError: the checkpoint is unfinished, or a file is missing or changed.
    """
    files = listed_files(uri)
    found = _found_files(uri, files)
    for name in sorted(files):
        _check(uri, name, expected=files[name], got=found[name])
    return list_digest(files)


def content_digest(uri: str) -> str:
    """What ``verify_checkpoint`` would give if the files' bytes were as they should be.

    Raises:
        CheckpointError: the checkpoint is unfinished, or a file cannot be read.
    """
    return list_digest(_found_files(uri, listed_files(uri)))


def list_digest(files: Mapping[str, str]) -> str:
    """The digest of a checkpoint, of its files' names and sha256; 64 hex digits."""
    return digest_of(dict(files), hex_digits=64)


def _found_files(uri: str, files: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in sorted(files):
        place = join(uri, name)
        try:
            found[name] = _sha256(place)
        except OSError as error:
            raise CheckpointError(f"checkpoint file {place} cannot be read: {error}") from error
    return found


def _check(uri: str, name: str, *, expected: str, got: str) -> None:
    if got != expected:
        raise CheckpointError(
            f"checkpoint file {join(uri, name)} changed after it was written: expected sha256 "
            f"{expected}, got {got}"
        )


def _sha256(uri: str) -> str:
    digest = hashlib.sha256()
    fs, path = filesystem(uri)
    with fs.open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
