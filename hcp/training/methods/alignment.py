"""From human maps to the alignment loss and the figures that show it; shared by the methods.

Dimension legend: B batch, Q map pixels, J selected human tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hcp.config import AlignmentConfig, Stage
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
        shares = attention_inside(maps, selection.valid, batch.masks)
        return Terms(
            total=self.config.alpha * found.total,
            alignment=found.total,
            by_stage={
                stage: mean_where(losses, human.to(losses.device))
                for stage, losses in found.by_stage.items()
            },
            attention_share=shares.pop(None, None),
            share_by_stage={stage: share for stage, share in shares.items() if stage is not None},
        )


@torch.no_grad()
def attention_inside(
    maps: Sequence[LayerMap], valid: Tensor, masks: Tensor
) -> dict[Stage | None, Tensor]:
    """Share of the human words' attention inside the person masks.

    Nothing here waits for the device: a training step asks for it.

    Args:
        maps: human maps of the layers.
        valid: [B, J], which selected tokens exist.
        masks: [B, H, W], non-zero on people.
    Returns:
        By stage, and of all under None, the mean over layers, samples with people and their
        tokens: scalars in [0, 1], not a number where there is none; empty without maps.
    """
    found: dict[Stage | None, list[tuple[Tensor, Tensor]]] = {}
    for layer in maps:
        attn = layer.attn_map
        inside = mask_target(masks.to(attn.device), map_size=(layer.height, layer.width)).flatten(1)
        counted = valid.to(attn.device) & (inside.amax(dim=1) > 0)[:, None]
        share = torch.einsum("bqj,bq->bj", attn, inside.to(attn.dtype))
        share = share / attn.sum(dim=1).clamp_min(1e-12)
        for stage in (None, layer.stage):
            found.setdefault(stage, []).append((share, counted))
    return {
        stage: mean_where(*(torch.cat(part, dim=1) for part in zip(*parts, strict=True)))
        for stage, parts in found.items()
    }


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """The mean of the counted values, a scalar; not a number where none is counted."""
    return (values.float() * counted).sum() / counted.sum()
