"""Checkpoint files: ``adapter.safetensors``, ``adapter_config.json`` and the marker COMPLETE.json.

The marker is written last and holds the sha256 of every file of the checkpoint: without it, or
with other bytes beside it, a checkpoint does not load. There are no pickles.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from hcp.config import HcpConfig
from hcp.sites import Site
from storage.errors import CheckpointError

WEIGHTS = "adapter.safetensors"
CARD = "adapter_config.json"
MARKER = "COMPLETE.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterCard:
    """What ``adapter_config.json`` says beside the weights."""

    config: HcpConfig
    sites: tuple[Site, ...]
    base_fingerprint: Mapping[str, float]  # of the base that the adapter was made for
    base_model: str | None = None  # id or directory, for people
    dataset_version: str | None = None
    step: int = 0

    def to_json(self) -> dict[str, object]:
        """The card as JSON-able data."""
        return {
            "format": FORMAT,
            "base_model": self.base_model,
            "base_fingerprint": dict(self.base_fingerprint),
            "dataset_version": self.dataset_version,
            "step": self.step,
            "hcp": self.config.to_json(),
            "sites": [site.to_json() for site in self.sites],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "AdapterCard":
        """Inverse of ``to_json``.

        Raises:
            ValueError: a field is missing or wrong, or the format is a later one.
        """
        if data.get("format") != FORMAT:
            raise ValueError(f"format {data.get('format')!r}, this version reads {FORMAT}")
        try:
            return cls(
                config=HcpConfig.from_json(data["hcp"]),
                sites=tuple(Site(**site) for site in data["sites"]),
                base_fingerprint=dict(data["base_fingerprint"]),
                base_model=data["base_model"],
                dataset_version=data["dataset_version"],
                step=data["step"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"field missing or of the wrong type: {error}") from error


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], card: AdapterCard) -> None:
    """Write a complete checkpoint into the directory ``path``, replacing the one that is there."""
    path.mkdir(parents=True, exist_ok=True)
    (path / MARKER).unlink(missing_ok=True)
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _replace(path / WEIGHTS, save(dense))
    _replace(path / CARD, json.dumps(card.to_json(), indent=1, sort_keys=True).encode())
    mark_complete(path, (WEIGHTS, CARD))


def mark_complete(path: Path, files: Sequence[str]) -> None:
    """Write the marker for these files (paths inside the checkpoint), all others being ignored."""
    digests = {name: _sha256((path / name).read_bytes()) for name in sorted(files)}
    _replace(path / MARKER, json.dumps({"files": digests}, indent=1).encode())


def read_checkpoint(path: Path) -> tuple[AdapterCard, dict[str, Tensor]]:
    """Read a checkpoint after checking every digest.

    Raises:
        CheckpointError: incomplete, changed since it was written, or not an adapter.
    """
    blobs = _verified(path)
    missing = [name for name in (WEIGHTS, CARD) if name not in blobs]
    if missing:
        raise CheckpointError(f"checkpoint {path}: {MARKER} does not list {', '.join(missing)}")
    try:
        card = AdapterCard.from_json(json.loads(blobs[CARD]))
    except ValueError as error:
        raise CheckpointError(f"checkpoint {path}: {CARD}: {error}") from error
    try:
        return card, load(blobs[WEIGHTS])
    except SafetensorError as error:
        raise CheckpointError(f"checkpoint {path}: {WEIGHTS}: {error}") from error


def _verified(path: Path) -> dict[str, bytes]:
    marker = path / MARKER
    if not marker.is_file():
        raise CheckpointError(
            f"checkpoint {path}: expected a directory with {WEIGHTS}, {CARD} and {MARKER}; "
            f"{MARKER} is not there, so it was never finished or is no checkpoint"
        )
    try:
        digests = dict(json.loads(marker.read_bytes())["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path}: {MARKER} is unreadable: {error}") from error
    blobs: dict[str, bytes] = {}
    for name, digest in digests.items():
        try:
            blob = (path / name).read_bytes()
        except OSError as error:
            raise CheckpointError(f"checkpoint {path}: cannot read {name}: {error}") from error
        if _sha256(blob) != digest:
            raise CheckpointError(
                f"checkpoint {path}: {name} has sha256 {_sha256(blob)[:12]}..., {MARKER} says "
                f"{str(digest)[:12]}...: it changed after it was written"
            )
        if name in (WEIGHTS, CARD):
            blobs[name] = blob
    return blobs


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
