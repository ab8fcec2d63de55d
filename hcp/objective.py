"""The training objective: the denoising loss plus the weighted alignment losses of all layers.

B batch, Q map pixels, J selected human tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hcp.config import STAGES, AlignmentConfig, Stage
from hcp.inject import LayerMap
from hcp.losses import alignment_loss, stage_weight


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentTerms:
    """The alignment part of one step's loss."""

    total: Tensor  # scalar: batch mean of sum_stage lambda_stage(t) mean_layers L_l; without alpha
    per_sample: Tensor  # [B], the same before the mean
    by_stage: Mapping[Stage, Tensor]  # [B] each, detached: mean_layers L_l before lambda


def aligned_stages(config: AlignmentConfig) -> tuple[Stage, ...]:
    """The stages whose loss is on, hence whose maps are needed."""
    if config.alpha == 0:
        return ()
    return tuple(stage for stage in STAGES if config.stages.of(stage) != "off")


def alignment_terms(
    maps: Sequence[LayerMap],
    targets: Mapping[tuple[int, int], Tensor],
    valid: Tensor,
    timesteps: Tensor,
    *,
    config: AlignmentConfig,
    num_train_timesteps: int,
) -> AlignmentTerms:
    """``sum over stages of lambda_stage(t) * mean over its layers of L_l``.

    HcP paper (scale-aware and step-wise constraints, from summaries); the weights are our reading.

    Args:
        maps: human maps of the layers, from ``Injection.maps``.
        targets: (height, width) -> [B, Q] or [B, Q, J].
        valid: [B, J], bool, which selected tokens exist (``TokenSelection.valid``).
        timesteps: [B].
        num_train_timesteps: T.
    Returns:
        float32 terms; zeros that carry no gradient where there are no maps.
    Raises:
        KeyError: a map size has no target.
    """
    per_sample = torch.zeros(len(timesteps), device=timesteps.device)
    by_stage: dict[Stage, Tensor] = {}
    for stage in aligned_stages(config):
        losses = [
            alignment_loss(
                layer.attn_map,
                targets[layer.height, layer.width],
                valid.to(layer.attn_map.device),
                distance=config.distance,
            )
            for layer in maps
            if layer.stage == stage
        ]
        if not losses:
            continue
        loss = torch.stack(losses).mean(dim=0)
        weight = stage_weight(config.stages.of(stage), timesteps, num_train_timesteps)
        per_sample = per_sample + weight.to(loss.device) * loss
        by_stage[stage] = loss.detach()
    return AlignmentTerms(total=per_sample.mean(), per_sample=per_sample, by_stage=by_stage)
