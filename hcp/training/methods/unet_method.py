"""Methods that train weights inside the U-Net: one of two kinds of weights, one of three losses."""

import json
import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from torch import Tensor, nn

from hcp.base import BasePipeline
from hcp.checkpoint import METHOD_CARD
from hcp.config import STAGES, HcpConfig
from hcp.sites import base_fingerprint, check_base, find_sites
from hcp.training.batches import Batch
from hcp.training.methods.cards import MethodCard, read_card
from hcp.training.methods.objectives import Objective
from hcp.training.methods.protocol import Facts, Terms
from storage.checkpoints import listed_files, read_listed
from storage.errors import CheckpointError
from storage.locations import join, write_atomic

logger = logging.getLogger(__name__)

EVERYWHERE = HcpConfig(stages=STAGES)
"""All cross-attentions, by which bases are told apart."""


class Weights(Protocol):
    """What trains inside a U-Net."""

    names: tuple[str, ...]  # of the files for use

    def named_parameters(self) -> Sequence[tuple[str, nn.Parameter]]:
        """As in ``Method``."""
        ...

    def files(self) -> dict[str, bytes]:
        """Their content."""
        ...

    def load(self, files: Mapping[str, bytes]) -> None:
        """Take the weights of such files; CheckpointError where they are of another layout."""
        ...

    def remove(self) -> None:
        """Take out of the U-Net what was put in."""
        ...


class UnetMethod:
    """Weights and losses as one ``Method``."""

    def __init__(
        self, unet: nn.Module, card: MethodCard, weights: Weights, objective: Objective
    ) -> None:
        self.name = card.method
        self._unet = unet
        self._card = card
        self._weights = weights
        self._objective = objective
        count = sum(parameter.numel() for _, parameter in self.named_parameters())
        logger.info("method %s: %d parameters train", self.name, count)

    def named_parameters(self) -> Sequence[tuple[str, nn.Parameter]]:
        """Those of the weights."""
        return self._weights.named_parameters()

    def around(self, batch: Batch) -> AbstractContextManager[None]:
        """That of the losses."""
        return self._objective.around(batch)

    def pixel_weight(self, batch: Batch, size: tuple[int, int]) -> Tensor | None:
        """That of the losses."""
        return self._objective.pixel_weight(batch, size)

    def extra(self, batch: Batch, timesteps: Tensor, size: tuple[int, int]) -> Terms:
        """Those of the losses."""
        return self._objective.extra(batch, timesteps, size)

    def save(self, uri: str, facts: Facts) -> tuple[str, ...]:
        """The weights' files and the card."""
        card = facts.on(self._card)
        files = self._weights.files() | {METHOD_CARD: card.to_json()}
        for name, content in files.items():
            write_atomic(join(uri, name), content)
        return tuple(files)

    @contextmanager
    def drawing(self, pipeline: BasePipeline) -> Generator[None]:
        """What trains is inside the U-Net as it is."""
        yield

    def start_from(self, uri: str, *, any_base: bool = False) -> None:
        """Take the weights of a checkpoint of any method that trains the same kind of weights."""
        listed, wanted = listed_files(uri), self._weights.names
        if not {METHOD_CARD, *wanted} <= set(listed):
            raise CheckpointError(
                f"init_from {uri}: the method {self.name!r} begins with {' and '.join(wanted)}, "
                f"which is not there: {', '.join(sorted(listed))}"
            )
        card = read_card(uri)
        try:
            fingerprint = {} if any_base else card.base_fingerprint
            check_base(self._unet, EVERYWHERE, card.sites, fingerprint)
            self._weights.load(read_listed(uri, wanted))
        except CheckpointError as error:
            raise CheckpointError(f"init_from {uri}: {error}") from error

    def check(self, uri: str) -> None:
        """The settings on the card are the same."""
        there = read_card(uri).settings
        changed = [
            f"{name} {there.get(name)} there, {value} here"
            for name, value in self._card.settings.items()
            if there.get(name) != value
        ]
        if changed:
            raise CheckpointError(
                f"checkpoint {uri} was trained with other settings of the method {self.name!r}: "
                + "; ".join(changed)
            )

    def close(self) -> None:
        """Take out of the U-Net what was put in; weights of its own that trained stay trained."""
        self._weights.remove()


def new_card(
    pipeline: BasePipeline, method: str, settings: Mapping[str, Any], *, base_model: str | None
) -> MethodCard:
    """The card of a training that begins; the base's weights must still be its own."""
    sites = find_sites(pipeline.unet, EVERYWHERE)
    return MethodCard(
        method=method,
        settings=json.loads(json.dumps(settings)),  # as the file has them
        sites=sites,
        base_fingerprint=base_fingerprint(pipeline.unet, sites),
        base_model=base_model,
    )
