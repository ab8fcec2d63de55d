"""From human maps to the alignment loss and the figures that show it; shared by the methods.

Dimension legend: B batch, Q map pixels, J selected human tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hcp.config import AlignmentConfig
from hcp.inject import LayerMap
from hcp.objective import alignment_terms
from hcp.resnet_prior import ResnetPrior
from hcp.targets import build_targets, mask_target
from hcp.token_state import TokenSelection
from hcp.training.batches import Batch
from hcp.training.denoising import prior_batch
from hcp.training.methods.protocol import Terms


class Alignment:
    """The alignment loss of a training: its settings, and the prior's network where it has one."""

    def __init__(
        self,
        config: AlignmentConfig,
        *,
        num_train_timesteps: int,
        device: torch.device,
        resnet_weights: str | None = None,
    ) -> None:
        """Load what the priors need.

        Raises:
            WeightsError: the resnet50 prior is wanted and its weights cannot be had.
        """
        self.config, self.device = config, device
        self._num_train_timesteps = num_train_timesteps
        self._resnet: ResnetPrior | None = None
        if "resnet50" in config.priors.names():
            self._resnet = ResnetPrior(resnet_weights).to(device)

    def terms(
        self,
        maps: Sequence[LayerMap],
        selection: TokenSelection,
        batch: Batch,
        timesteps: Tensor,
    ) -> Terms:
        """The loss of a batch's maps; zero, without a gradient, where there are none."""
        targets: dict[tuple[int, int], Tensor] = {}
        if maps:
            assert selection.kinds is not None
            priors = prior_batch(batch, self.config, device=self.device)
            sizes = [(layer.height, layer.width) for layer in maps]
            targets = build_targets(
                priors, selection.kinds, sizes, table=self.config.priors, resnet=self._resnet
            )
        found = alignment_terms(
            maps, targets, selection.valid, timesteps, config=self.config,
            num_train_timesteps=self._num_train_timesteps,
        )  # fmt: skip
        human = selection.valid.any(dim=1)
        return Terms(
            total=self.config.alpha * found.total,
            alignment=found.total,
            by_stage={
                stage: losses[human.to(losses.device)].mean()
                for stage, losses in found.by_stage.items()
            },
            attention_share=attention_inside(maps, selection.valid, batch.masks),
        )


@torch.no_grad()
def attention_inside(maps: Sequence[LayerMap], valid: Tensor, masks: Tensor) -> Tensor | None:
    """Share of the human words' attention inside the person masks.

    Args:
        maps: human maps of the layers.
        valid: [B, J], which selected tokens exist.
        masks: [B, H, W], non-zero on people.
    Returns:
        The mean over layers, samples with people and their tokens, a scalar in [0, 1]; None where
        there is no such map.
    """
    shares: list[Tensor] = []
    for layer in maps:
        attn = layer.attn_map
        inside = mask_target(masks.to(attn.device), map_size=(layer.height, layer.width)).flatten(1)
        counted = valid.to(attn.device) & (inside.amax(dim=1) > 0)[:, None]
        share = torch.einsum("bqj,bq->bj", attn, inside.to(attn.dtype))
        shares.append((share / attn.sum(dim=1).clamp_min(1e-12))[counted])
    found = torch.cat(shares) if shares else torch.empty(0)
    return found.mean() if found.numel() else None
