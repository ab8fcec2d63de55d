"""The marker of a checkpoint, COMPLETE.json: what makes it complete, and shows if it changed.

``{"files": {relative path: sha256}}``, written last by whoever writes the checkpoint.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping

from storage.canonical import digest_of
from storage.errors import CheckpointError
from storage.locations import filesystem, join, read_bytes, write_atomic
from storage.weight_files import HEAD_BYTES, pointer_or_page

COMPLETE_NAME = "COMPLETE.json"

_BLOCK_BYTES = 2**20


def mark_complete(uri: str, files: Iterable[str]) -> None:
    """Write the marker that lists these files (paths inside the checkpoint) with their digests."""
    digests = {name: _sha256(uri, name) for name in files}
    write_atomic(join(uri, COMPLETE_NAME), marker_of(digests))


def marker_of(digests: Mapping[str, str]) -> bytes:
    """The marker's content, of the files' names and sha256."""
    return json.dumps({"files": dict(sorted(digests.items()))}, indent=1).encode()


def listed_files(uri: str) -> dict[str, str]:
    """The files of a checkpoint, each with the sha256 that the marker has for it.

    Raises:
        CheckpointError: the checkpoint was never finished, or its marker cannot be read.
    """
    marker = join(uri, COMPLETE_NAME)
    content = b""
    try:
        content = read_bytes(marker)
        files = json.loads(content)["files"]
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{uri} is not a complete checkpoint: no {COMPLETE_NAME}, which is written last, so it "
            "was never finished or is none"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = pointer_or_page(content, marker) if content else None
        raise CheckpointError(why or f"{marker} cannot be read: {error!r}") from error
    if not isinstance(files, dict) or not files:
        raise CheckpointError(f"{marker}: expected 'files' with at least one file, got {files!r}")
    for name in files:
        if name.startswith("/") or ".." in name.split("/"):
            raise CheckpointError(f"{marker} names {name!r}, which is outside the checkpoint")
    return files


def read_listed(uri: str, names: Iterable[str]) -> dict[str, bytes]:
    """The content of files of a checkpoint, checked against its marker.

    Raises:
        CheckpointError: the checkpoint is unfinished, or a file is not listed, missing or changed.
    """
    listed = listed_files(uri)
    contents: dict[str, bytes] = {}
    for name in names:
        if name not in listed:
            raise CheckpointError(f"checkpoint {uri}: {COMPLETE_NAME} does not list {name}")
        try:
            contents[name] = read_bytes(join(uri, name))
        except OSError as error:
            raise _unreadable(uri, name, error) from error
        _check(uri, name, listed, got=hashlib.sha256(contents[name]).hexdigest())
    return contents


def verify_checkpoint(uri: str) -> str:
    """Re-read every file that ``COMPLETE.json`` names; the digest of that list.

    Raises:
        CheckpointError: the checkpoint is unfinished, or a file is missing or changed.
    """
    listed = listed_files(uri)
    for name in sorted(listed):
        _check(uri, name, listed, got=_sha256(uri, name))
    return list_digest(listed)


def content_digest(uri: str) -> str:
    """What ``verify_checkpoint`` would give if the files were as they should be.

    Raises:
        CheckpointError: the checkpoint is unfinished, or a file cannot be read.
    """
    return list_digest({name: _sha256(uri, name) for name in listed_files(uri)})


def list_digest(files: Mapping[str, str]) -> str:
    """The digest of a checkpoint, of its files' names and sha256; 64 hex digits."""
    return digest_of(dict(files), hex_digits=64)


def _check(uri: str, name: str, listed: Mapping[str, str], *, got: str) -> None:
    if got == listed[name]:
        return
    place = join(uri, name)
    fs, path = filesystem(place)
    if why := pointer_or_page(fs.read_block(path, 0, HEAD_BYTES), place):
        raise CheckpointError(f"checkpoint {uri}: {why}")
    raise CheckpointError(
        f"checkpoint file {place} changed after it was written: expected sha256 {listed[name]}, "
        f"got {got}"
    )


def _sha256(uri: str, name: str) -> str:
    digest = hashlib.sha256()
    fs, path = filesystem(join(uri, name))
    try:
        with fs.open(path, "rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise _unreadable(uri, name, error) from error
    return digest.hexdigest()


def _unreadable(uri: str, name: str, error: OSError) -> CheckpointError:
    return CheckpointError(f"checkpoint file {join(uri, name)} cannot be read: {error}")
