"""The scale of a base's latents: what lies between its VAE and its U-Net.

Most VAEs have one factor. Some have statistics of their own, a mean and a standard deviation for
each channel (``latents_mean`` and ``latents_std``, as Playground v2.5): then the U-Net takes
``(z - mean) factor / std``, as diffusers' StableDiffusionXLPipeline has it. C latent channels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from storage.errors import CheckpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentScale:
    """How a VAE's latents become a U-Net's."""

    factor: float
    mean: tuple[float, ...] = ()  # of each channel; () where the VAE has no statistics of its own
    std: tuple[float, ...] = ()

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents [..., C, h, w] of a VAE as the U-Net takes them."""
        if not self.mean:
            return latents * self.factor
        mean, std = (latents.new_tensor(each)[:, None, None] for each in (self.mean, self.std))
        return (latents - mean) * (self.factor / std)

    def to_json(self) -> dict[str, object]:
        """As facts of a cache; a VAE without statistics of its own has none there."""
        own = {"latents_mean": list(self.mean), "latents_std": list(self.std)} if self.mean else {}
        return {"scaling_factor": self.factor, **own}

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "LatentScale":
        """That of a VAE's config, or of a cache's facts.

        Raises:
            CheckpointError: half of the statistics, some that cannot be, a shift, which no Stable
                Diffusion pipeline applies, or an autoencoder of another kind.
        """
        if "latent_magnitude" in config:
            raise CheckpointError(
                "the base's VAE is an AutoencoderTiny, which decodes pictures for previews: "
                "training needs the base's own AutoencoderKL"
            )
        mean, std = config.get("latents_mean"), config.get("latents_std")
        if config.get("shift_factor"):
            raise CheckpointError(
                f"the base's VAE has shift_factor {config['shift_factor']!r}, which no Stable "
                "Diffusion pipeline applies: expected null in vae/config.json"
            )
        if (mean is None) != (std is None):
            raise CheckpointError(
                f"the base's VAE has latents_mean {mean!r} and latents_std {std!r}: expected both "
                "or neither in vae/config.json"
            )
        scale = cls(factor=float(config["scaling_factor"]), mean=_floats(mean), std=_floats(std))
        n_channels = config.get("latent_channels", len(scale.mean))
        if mean is not None and (
            not len(scale.mean) == len(scale.std) == n_channels or min(scale.std) <= 0
        ):
            raise CheckpointError(
                f"the base's VAE has latents_mean {mean!r} and latents_std {std!r}: expected "
                f"{n_channels} numbers each, one a channel, the latter positive"
            )
        return scale


def fold_statistics(vae: Any) -> None:
    """Move a VAE's own statistics into its weights, so that its factor is all there is.

    For StableDiffusionPipeline, which draws with the factor alone and passes over the statistics:
    folded, what it draws and what training sees are the same latents. The maps before and after
    the latents are 1x1 convolutions, so this is exact.

    Raises:
        CheckpointError: the statistics make no sense, or the VAE lacks these convolutions.
    """
    scale = LatentScale.of(vae.config)
    if not scale.mean:
        return
    before, after = getattr(vae, "quant_conv", None), getattr(vae, "post_quant_conv", None)
    if before is None or after is None:
        raise CheckpointError(
            "the base's VAE has latents_mean and latents_std, which StableDiffusionPipeline does "
            "not apply, and no quant_conv and post_quant_conv to fold them into"
        )
    mean, std = torch.tensor(scale.mean).double(), torch.tensor(scale.std).double()
    shrink = torch.cat([1 / std, torch.ones_like(std)])  # of the means; log variances only move
    move = torch.cat([-mean / std, -2 * std.log()])
    weight, bias = before.weight.double(), before.bias.double()
    _set(before, weight * shrink[:, None, None, None], bias * shrink + move)
    weight, bias = after.weight.double(), after.bias.double()
    _set(after, weight * std[:, None, None], bias + torch.einsum("oihw,i->o", weight, mean))
    vae.register_to_config(latents_mean=None, latents_std=None)


def _floats(values: Any) -> tuple[float, ...]:
    # A single file's converter keeps them as a tensor [1, C, 1, 1].
    return () if values is None else tuple(torch.as_tensor(values).flatten().tolist())


@torch.no_grad()
def _set(convolution: Any, weight: Tensor, bias: Tensor) -> None:
    convolution.weight.copy_(weight)
    convolution.bias.copy_(bias)
