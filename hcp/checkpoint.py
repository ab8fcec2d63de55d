"""Checkpoint files: ``adapter.safetensors``, ``adapter_config.json`` and the marker COMPLETE.json.

The marker is written last and holds the sha256 of every file of the checkpoint: without it, or
with other bytes beside it, a checkpoint does not load. There are no pickles.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from hcp.config import HCP_VARIANTS, FileDtype, HcpConfig
from hcp.sites import Site
from storage.checkpoints import COMPLETE_NAME, listed_files, mark_complete, read_listed
from storage.errors import CheckpointError
from storage.locations import join, remove, write_atomic
from storage.weight_files import HEAD_BYTES, pointer_or_page

logger = logging.getLogger(__name__)

WEIGHTS = "adapter.safetensors"
CARD = "adapter_config.json"
METHOD_CARD = "method.json"  # of checkpoints of other methods (hcp.training.methods)
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
    teachers: tuple[str, ...] = ()
    """Digests of the pose models that made the priors, "" where the data does not say; () of a
    checkpoint that is older than this field."""

    @property
    def method(self) -> str:
        """As ``TrainConfig.method`` has it, with the variants of the layers."""
        on = (
            name
            for name, fields in HCP_VARIANTS.items()
            if all(getattr(self.config, field) == value for field, value in fields.items())
        )
        return "+".join(["hcp", *on])

    @property
    def settings(self) -> dict[str, object]:
        """Of the layers and their training, as plain JSON."""
        return {"hcp": self.config.to_json()}

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
                teachers=tuple(data.get("teachers", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"field missing or of the wrong type: {error}") from error


def write_checkpoint(
    uri: str, tensors: Mapping[str, Tensor], card: AdapterCard, *, dtype: torch.dtype | None = None
) -> None:
    """Write a complete checkpoint into a directory or object prefix, replacing what is there.

    Args:
        dtype: that the weights are rounded to; None: as they are.
    Raises:
        ValueError: a weight is beyond the dtype's range; nothing is written then.
    """
    tensors = rounded(tensors, dtype)
    remove(join(uri, COMPLETE_NAME))
    mark_complete(uri, write_files(uri, tensors, card))


def write_files(uri: str, tensors: Mapping[str, Tensor], card: AdapterCard) -> tuple[str, ...]:
    """Write weights and card without the marker, for a checkpoint that holds more; their names."""
    dense = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(join(uri, WEIGHTS), save(dense))
    write_atomic(join(uri, CARD), json.dumps(card.to_json(), indent=1, sort_keys=True).encode())
    return WEIGHTS, CARD


def rounded(tensors: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The tensors with their floating-point numbers in ``dtype``; None: as they are.

    Raises:
        ValueError: a finite number is beyond the dtype's range.
    """
    if dtype is None:
        return dict(tensors)
    result = {n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}
    for name, tensor in result.items():
        if not tensor.isfinite().all() and tensors[name].isfinite().all():
            raise ValueError(
                f"{name} has numbers up to {float(tensors[name].abs().max()):.3g}, beyond the "
                f"range of {dtype}: save in torch.bfloat16 or torch.float32"
            )
    return result


def file_in(dtype: FileDtype, name: str, content: bytes) -> bytes:
    """A file of a checkpoint as an export keeps it: weights rounded to ``dtype``, others as is.

    Weights that the dtype cannot hold stay as they are, with a warning: a finished training is
    never lost to its export.
    """
    if not name.endswith(".safetensors"):
        return content
    tensors = load(content)
    try:
        return save(rounded(tensors, getattr(torch, dtype)), metadata=_metadata(content))
    except ValueError as error:
        logger.warning("%s is exported as it was trained: %s", name, error)
        return content


def _metadata(content: bytes) -> dict[str, str] | None:
    # safetensors: the header's length in 8 bytes, then the header as JSON
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header.get("__metadata__")


def read_checkpoint(uri: str) -> tuple[AdapterCard, dict[str, Tensor]]:
    """Read weights and card after checking their digests.

    Raises:
        CheckpointError: incomplete, changed since it was written, or not an adapter.
    """
    if METHOD_CARD in listed_files(uri):
        method = json.loads(read_listed(uri, (METHOD_CARD,))[METHOD_CARD]).get("method")
        raise CheckpointError(
            f"checkpoint {uri} is no HcP adapter but of the method {method!r}: load it with "
            "hcp.training.methods.load_trained(uri)"
        )
    blobs = read_listed(uri, (WEIGHTS, CARD))
    try:
        card = AdapterCard.from_json(json.loads(blobs[CARD]))
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"checkpoint {uri}: {CARD}: {error}") from error
    try:
        return card, load(blobs[WEIGHTS])
    except SafetensorError as error:
        why = pointer_or_page(blobs[WEIGHTS][:HEAD_BYTES], WEIGHTS) or f"{WEIGHTS}: {error}"
        raise CheckpointError(f"checkpoint {uri}: {why}") from error
