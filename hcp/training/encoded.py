"""What stands for pixels and captions where they were encoded before, into a cache.

Dimension legend: B batch, C h w latent channels, height and width, K text tokens, D pooled text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hcp.latents import LatentScale


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedExample:
    """What the VAE and the text encoders made of an example."""

    mean: Tensor  # [C, h, w], of the latents before scaling
    std: Tensor  # [C, h, w]
    text: Tensor  # [K, C]
    pooled: Tensor | None  # [D], SDXL
    input_ids: Tensor  # int64 [K]
    token_kinds: Tensor  # int64 [K]
    scale: LatentScale


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedBatch:
    """What they made of a batch."""

    mean: Tensor  # [B, C, h, w], of the latents before scaling
    std: Tensor  # [B, C, h, w]
    text: Tensor  # [B, K, C]
    pooled: Tensor | None  # [B, D], SDXL
    input_ids: Tensor  # int64 [B, K]
    token_kinds: Tensor  # int64 [B, K]
    scale: LatentScale

    @classmethod
    def stack(cls, examples: Sequence[EncodedExample]) -> "EncodedBatch":
        """Examples of one base and one shape."""
        pooled = [each.pooled for each in examples if each.pooled is not None]
        return cls(
            mean=torch.stack([each.mean for each in examples]),
            std=torch.stack([each.std for each in examples]),
            text=torch.stack([each.text for each in examples]),
            pooled=torch.stack(pooled) if pooled else None,
            input_ids=torch.stack([each.input_ids for each in examples]),
            token_kinds=torch.stack([each.token_kinds for each in examples]),
            scale=examples[0].scale,
        )
