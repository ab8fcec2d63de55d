"""Checkpoint files: ``adapter.safetensors``, ``adapter_config.json`` and the marker COMPLETE.json.

The marker is written last and holds the sha256 of every file of the checkpoint: without it, or
with other bytes beside it, a checkpoint does not load. There are no pickles.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from hcp.config import HcpConfig
from hcp.sites import Site
from storage.checkpoints import COMPLETE_NAME, mark_complete, read_listed
from storage.errors import CheckpointError
from storage.locations import join, remove, write_atomic

WEIGHTS = "adapter.safetensors"
CARD = "adapter_config.json"
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
        own = asdict(self)
        return {"format": FORMAT, "hcp": own.pop("config"), **own}

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


def write_checkpoint(uri: str, tensors: Mapping[str, Tensor], card: AdapterCard) -> None:
    """Write a complete checkpoint into a directory or object prefix, replacing what is there."""
    remove(join(uri, COMPLETE_NAME))
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(join(uri, WEIGHTS), save(dense))
    write_atomic(join(uri, CARD), json.dumps(card.to_json(), indent=1, sort_keys=True).encode())
    mark_complete(uri, (WEIGHTS, CARD))


def read_checkpoint(uri: str) -> tuple[AdapterCard, dict[str, Tensor]]:
    """Read weights and card after checking their digests.

    Raises:
        CheckpointError: incomplete, changed since it was written, or not an adapter.
    """
    blobs = read_listed(uri, (WEIGHTS, CARD))
    try:
        card = AdapterCard.from_json(json.loads(blobs[CARD]))
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"checkpoint {uri}: {CARD}: {error}") from error
    try:
        return card, load(blobs[WEIGHTS])
    except SafetensorError as error:
        raise CheckpointError(f"checkpoint {uri}: {WEIGHTS}: {error}") from error
