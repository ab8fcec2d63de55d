"""What a training step is made of: seeded noise, latents, the denoising loss, the priors.

Dimension legend: B batch, C h w latent channels, height and width, K text tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor
from torch.nn.functional import mse_loss

from hcp.base import BasePipeline
from hcp.config import AlignmentConfig
from hcp.latents import LatentScale
from hcp.pose_image import draw_pose
from hcp.targets import PriorBatch, stack_keypoints
from hcp.training.batches import Batch, tokenize


def step_generator(seed: int, step: int, rank: int, part: int) -> torch.Generator:
    """The CPU generator of one forward pass: the same noise on every kind of device."""
    mixed = np.random.SeedSequence([seed, step, rank, part]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0] >> 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A batch as the U-Net takes it, in its dtype."""

    latents: Tensor  # [B, C, h, w], scaled
    text: Tensor  # [B, K, C]
    added: dict[str, Tensor] | None  # SDXL: pooled text [B, D] and time_ids [B, 6]

    def predict(self, unet: Any, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """The U-Net's output for noised latents, [B, C, h, w]."""
        return unet(
            noisy, timesteps, encoder_hidden_states=self.text, added_cond_kwargs=self.added
        ).sample


@torch.no_grad()
def encode(pipeline: BasePipeline, batch: Batch, generator: torch.Generator) -> Encoded:
    """Latents and text embeddings of a batch, as the pipeline itself makes them, or as cached."""
    unet, cached = pipeline.unet, batch.cached
    if cached is None:
        mean, std = posterior(pipeline, batch.pixels)
        text, pooled = encode_text(pipeline, batch.input_ids, batch.captions)
        scale = LatentScale.of(pipeline.vae.config)
    else:
        place: Any = {"device": unet.device, "dtype": torch.float32}
        mean, std, scale = cached.mean.to(**place), cached.std.to(**place), cached.scale
        text, pooled = cached.text.to(unet.device), cached.pooled
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    latents = scale.scaled(mean + std * noise)
    added = None
    if pooled is not None:
        pooled = pooled.to(unet.device, unet.dtype)
        added = {"text_embeds": pooled, "time_ids": batch.time_ids.to(unet.device)}
    return Encoded(latents=latents.to(unet.dtype), text=text.to(unet.dtype), added=added)


def as_inputs(pixels: Tensor, device: torch.device) -> Tensor:
    """Photos as a VAE takes them, float in [-1, 1], on the device; uint8 travels as it is."""
    pixels = pixels.to(device)
    return pixels if pixels.is_floating_point() else pixels.contiguous().float() / 127.5 - 1.0


@torch.no_grad()
def posterior(pipeline: BasePipeline, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the latents, unscaled: [B, 3, H, W] -> two of [B, C, h, w]."""
    vae = pipeline.vae
    found = vae.encode(as_inputs(pixels, vae.device).to(vae.dtype)).latent_dist
    return found.mean, found.std


@torch.no_grad()
def encode_text(
    pipeline: BasePipeline, input_ids: Tensor, captions: Sequence[str]
) -> tuple[Tensor, Tensor | None]:
    """Text embeddings [B, K, C] of captions and their ids [B, K]; SDXL: and pooled ones [B, D]."""
    if not isinstance(pipeline, StableDiffusionXLPipeline):
        return pipeline.text_encoder(input_ids.to(pipeline.text_encoder.device))[0], None
    # The layer before the last of both encoders side by side, and the second's pooled output. An
    # empty caption is all zero where the pipeline's own empty negative prompt is.
    first, second = pipeline.text_encoder, pipeline.text_encoder_2
    other_ids = tokenize(pipeline.tokenizer_2, captions)
    one = first(input_ids.to(first.device), output_hidden_states=True)
    two = second(other_ids.to(second.device), output_hidden_states=True)
    text = torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1)
    pooled = two[0]
    config: Any = pipeline.config  # typed as a plain dict, with no attributes
    if config.force_zeros_for_empty_prompt:
        written = torch.tensor([bool(caption) for caption in captions], device=text.device)
        text, pooled = text * written[:, None, None], pooled * written[:, None]
    return text, pooled


def draw_noise(latents: Tensor, generator: torch.Generator, *, offset: float = 0.0) -> Tensor:
    """Noise as the latents, [B, C, h, w], of standard deviation 1.

    With ``offset`` each channel is shifted as a whole by so many standard deviations, so that the
    base learns to change a picture's overall brightness: Guttenberg 2023, Diffusion with Offset
    Noise.
    """
    noise = torch.randn(latents.shape, generator=generator)
    if offset:
        noise = noise + offset * torch.randn(*latents.shape[:2], 1, 1, generator=generator)
    return noise.to(latents)


def denoising_loss(
    scheduler: Any,
    prediction: Tensor,
    latents: Tensor,
    *,
    noise: Tensor,
    timesteps: Tensor,
    min_snr_gamma: float | None = None,
    pixel_weight: Tensor | None = None,
) -> Tensor:
    """Mean squared error to the noise or the velocity, float32 scalar.

    With ``min_snr_gamma`` each sample is weighted by min(SNR, gamma) / SNR (epsilon) or
    min(SNR, gamma) / (SNR + 1) (velocity): Hang et al. 2023, Min-SNR. With ``pixel_weight``,
    [B, h, w], each latent pixel's squared error is multiplied by its weight.
    """
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    squared = mse_loss(prediction.float(), target.float(), reduction="none")
    if pixel_weight is not None:
        squared = squared * pixel_weight.to(squared)[:, None]
    per_sample = squared.mean(dim=(1, 2, 3))
    if min_snr_gamma is not None:
        alphas = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
        snr = (alphas / (1 - alphas)).clamp_min(1e-8)
        per_sample = per_sample * snr.clamp_max(min_snr_gamma) / (snr + velocity)
    return per_sample.mean()


def prior_batch(batch: Batch, config: AlignmentConfig, *, device: torch.device) -> PriorBatch:
    """The priors that the config's table asks for, on the device."""
    height, width = batch.pixels.shape[-2:]
    pose_images = None
    if "resnet50" in config.priors.names():
        drawn = [
            draw_pose(people.tolist(), width_px=width, height_px=height)
            for people in batch.keypoints
        ]
        pose_images = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).to(device) / 255
    return PriorBatch(
        image_size=(height, width),
        keypoints=stack_keypoints(batch.keypoints).to(device),
        masks=batch.masks.to(device),
        pose_images=pose_images,
    )
