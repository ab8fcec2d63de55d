"""The method ``hcp``: HcP layers in a frozen U-Net, with the alignment loss on their maps."""

import logging
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from hcp.adapter import HcpAdapter
from hcp.base import BasePipeline
from hcp.checkpoint import read_checkpoint, write_files
from hcp.config import HcpConfig
from hcp.inject import Injection
from hcp.objective import aligned_stages
from hcp.pipeline_tokens import PipelineTokens
from hcp.sites import check_base
from hcp.training.batches import Batch
from hcp.training.config import TrainConfig
from hcp.training.frozen import LeanBackward
from hcp.training.methods.alignment import Alignment
from hcp.training.methods.protocol import Facts, Terms
from storage.errors import CheckpointError

logger = logging.getLogger(__name__)

_LAYOUT = ("width", "activation", "gate", "start", "value", "stages", "map_scales")


class HcpMethod:
    """New HcP layers inside one pipeline's frozen U-Net.

    Only they have parameters that require gradients, so autograd records nothing before the first
    HcP layer of the U-Net.
    """

    name = "hcp"

    def __init__(
        self, pipeline: BasePipeline, config: TrainConfig, *, base_model: str | None = None
    ) -> None:
        device = torch.device(pipeline.device)
        self._config, self._unet = config.hcp, pipeline.unet
        self.adapter = HcpAdapter.create(pipeline.unet, config.hcp, base_model=base_model)
        self.adapter.to(device)
        _log_sizes(self.adapter)
        self._alignment = Alignment(
            config.hcp.alignment,
            num_train_timesteps=int(pipeline.scheduler.config.num_train_timesteps),
            device=device,
            resnet_weights=config.resnet_weights,
        )
        self.injection: Injection = self.adapter.inject(pipeline.unet)
        # Compiled blocks choose themselves what to keep for the backward pass.
        self._lean = None if config.compile else LeanBackward(pipeline.unet)

    def named_parameters(self) -> Sequence[tuple[str, nn.Parameter]]:
        """The adapter's, ``hcp.<site>...``."""
        return list(self.adapter.named_parameters())

    def around(self, batch: Batch) -> AbstractContextManager[None]:
        """Tell the layers which tokens are human, and keep the maps of the aligned stages."""
        kinds, record = batch.token_kinds, aligned_stages(self._config.alignment)
        return self.injection.tokens(kinds > 0, kinds=kinds, record=record)

    def pixel_weight(self, batch: Batch, size: tuple[int, int]) -> Tensor | None:
        """All pixels count alike."""
        return None

    def extra(self, batch: Batch, timesteps: Tensor, size: tuple[int, int]) -> Terms:
        """``alpha * L_alignment`` of the maps M_h."""
        maps = self.injection.maps(size)
        return self._alignment.terms(maps, self.injection.selection(), batch, timesteps)

    @contextmanager
    def drawing(self, pipeline: BasePipeline) -> Generator[None]:
        """Tell the layers which tokens of the pipeline's prompts are human."""
        tokens = PipelineTokens(pipeline, self.injection)
        try:
            yield
        finally:
            tokens.remove()

    def save(self, uri: str, facts: Facts) -> tuple[str, ...]:
        """Weights and card of the adapter."""
        card = facts.on(self.adapter.card)
        return write_files(uri, self.adapter.state_dict(), card)

    def start_from(self, uri: str, *, any_base: bool = False) -> None:
        """Take an adapter's weights; gamma and the alignment's settings stay this training's."""
        card, tensors = read_checkpoint(uri)
        there, here = (_layout(config) for config in (card.config, self._config))
        differences = [f"{name} {there[name]}, here {here[name]}" for name in here
                       if there[name] != here[name]]  # fmt: skip
        if differences:
            raise CheckpointError(
                f"init_from {uri}: the adapter has another layout than training.hcp asks for: "
                f"{'; '.join(differences)}; set training.hcp to its values, or leave init_from out"
            )
        try:
            fingerprint = {} if any_base else card.base_fingerprint
            check_base(self._unet, self._config, card.sites, fingerprint)
        except CheckpointError as error:
            raise CheckpointError(f"init_from {uri}: {error}") from error
        self.adapter.load_state_dict(tensors)

    def check(self, uri: str) -> None:
        """The adapter's settings are the same."""
        card, _ = read_checkpoint(uri)
        if card.config != self._config:
            raise CheckpointError(f"checkpoint {uri} was trained with other HcP settings")

    def close(self) -> None:
        """Take the layers out of the U-Net."""
        if self._lean is not None:
            self._lean.remove()
        self.injection.remove()


def _layout(config: HcpConfig) -> dict[str, object]:
    """What the shapes and the meaning of an adapter's weights depend on."""
    fields = config.to_json()
    return {name: fields[name] for name in _LAYOUT}


def _log_sizes(adapter: HcpAdapter) -> None:
    sizes = adapter.parameter_count()
    stages = ", ".join(f"{stage}/{scale}: {n}" for (stage, scale), n in sizes.items())
    logger.info("HcP layers: %d parameters; %s", sum(sizes.values()), stages)
