"""What methods beside HcP lose: nothing more, alignment of the base's maps, or people weighted.

Dimension legend: B batch, h w height and width of the latents.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor

from hcp.base import BasePipeline
from hcp.objective import aligned_stages
from hcp.sites import find_sites
from hcp.targets import mask_target
from hcp.training.batches import Batch
from hcp.training.config import TrainConfig
from hcp.training.methods.alignment import Alignment
from hcp.training.methods.base_maps import BaseMaps
from hcp.training.methods.names import RegionConfig
from hcp.training.methods.protocol import Terms, no_terms


class Objective(Protocol):
    """The losses' part of a ``Method``, whatever trains."""

    def around(self, batch: Batch) -> AbstractContextManager[None]:
        """As in ``Method``."""
        ...

    def pixel_weight(self, batch: Batch, size: tuple[int, int]) -> Tensor | None:
        """As in ``Method``."""
        ...

    def extra(self, batch: Batch, timesteps: Tensor, size: tuple[int, int]) -> Terms:
        """As in ``Method``."""
        ...


class Denoising:
    """The denoising loss alone."""

    def around(self, batch: Batch) -> AbstractContextManager[None]:
        """Nothing around it."""
        return nullcontext()

    def pixel_weight(self, batch: Batch, size: tuple[int, int]) -> Tensor | None:
        """All pixels count alike."""
        return None

    def extra(self, batch: Batch, timesteps: Tensor, size: tuple[int, int]) -> Terms:
        """Nothing is added."""
        return no_terms(timesteps.device)


class AlignedBase(Denoising):
    """HcP's alignment loss, with its settings, on the base's own maps M in the same layers.

    TokenCompose (Wang et al. 2023) pulls the maps of nouns to segmentation masks like this; its
    losses are of another form than the alignment loss (ours, so that layer and loss compare).
    """

    def __init__(self, pipeline: BasePipeline, config: TrainConfig) -> None:
        """Find the layers.

        Raises:
            ValueError: the U-Net has no cross-attention where ``config.hcp`` wants one.
            WeightsError: the resnet50 prior is wanted and its weights cannot be had.
        """
        self._record = aligned_stages(config.hcp.alignment)
        self._maps = BaseMaps(pipeline.unet, find_sites(pipeline.unet, config.hcp))
        self._alignment = Alignment(
            config.hcp.alignment,
            num_train_timesteps=int(pipeline.scheduler.config.num_train_timesteps),
            device=torch.device(pipeline.device),
            resnet_weights=config.resnet_weights,
        )

    def around(self, batch: Batch) -> AbstractContextManager[None]:
        """Keep the maps of the aligned stages."""
        kinds = batch.token_kinds
        return self._maps.tokens(kinds > 0, kinds=kinds, record=self._record)

    def extra(self, batch: Batch, timesteps: Tensor, size: tuple[int, int]) -> Terms:
        """``alpha * L_alignment`` of the maps M."""
        maps = self._maps.maps(size)
        return self._alignment.terms(maps, self._maps.selection(), batch, timesteps)


class WeightedPeople(Denoising):
    """The denoising loss with other weights inside the person masks than outside (our reading)."""

    def __init__(self, config: RegionConfig) -> None:
        self._config = config

    def pixel_weight(self, batch: Batch, size: tuple[int, int]) -> Tensor | None:
        """Mixed by each pixel's share of people; each photo's weights have the mean 1."""
        return region_weight(batch.masks, size, self._config)


def region_weight(masks: Tensor, size: tuple[int, int], config: RegionConfig) -> Tensor:
    """Weights of latent pixels, [B, h, w] with mean 1 in each photo, 1 everywhere without people.

    ``masks``: [B, H, W], non-zero on people.
    """
    inside = mask_target(masks, map_size=size)
    weight = config.outside + (config.inside - config.outside) * inside
    mean = weight.mean(dim=(1, 2), keepdim=True)
    # A photo that is all person, with a weight outside alone, would have the mean 0.
    return torch.where(mean > 0, weight / mean.clamp_min(1e-12), 1.0)
