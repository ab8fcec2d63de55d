"""The card of a checkpoint for use that is no HcP adapter, ``method.json``."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hcp.checkpoint import METHOD_CARD
from hcp.sites import Site
from storage.checkpoints import read_listed
from storage.errors import CheckpointError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodCard:
    """How the weights beside it came about."""

    method: str  # as TrainConfig.method has it
    settings: Mapping[str, Any]  # of the method, as plain JSON
    sites: tuple[Site, ...]  # all cross-attentions of the base
    base_fingerprint: Mapping[str, float]  # of the base that was trained
    base_model: str | None = None  # id or directory, for people
    dataset_version: str | None = None
    step: int = 0
    teachers: tuple[str, ...] = ()  # as of hcp.checkpoint.AdapterCard

    def to_json(self) -> bytes:
        """The file's content."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "MethodCard":
        """Inverse of ``to_json``.

        Raises:
            ValueError: a field is missing or wrong, or the format is a later one.
        """
        data: dict[str, Any] = json.loads(content)
        if data.pop("format", None) != FORMAT:
            raise ValueError(f"not of the format {FORMAT}, which this version reads")
        try:
            sites = tuple(Site(**site) for site in data.pop("sites"))
            return cls(sites=sites, teachers=tuple(data.pop("teachers", ())), **data)
        except (KeyError, TypeError) as error:
            raise ValueError(f"field missing or of the wrong type: {error}") from error


def read_card(uri: str) -> MethodCard:
    """The card of a checkpoint, after its digest was checked.

    Raises:
        CheckpointError: the checkpoint is unfinished or changed, or has no such card.
    """
    content = read_listed(uri, (METHOD_CARD,))[METHOD_CARD]
    try:
        return MethodCard.from_json(content)
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"checkpoint {uri}: {METHOD_CARD}: {error}") from error
