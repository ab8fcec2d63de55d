"""What a training step is made of: seeded noise, latents, the denoising loss, the priors.

Dimension legend: B batch, C h w latent channels, height and width, K text tokens.
"""

from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor
from torch.nn.functional import mse_loss

from hcp.config import AlignmentConfig
from hcp.loader import Batch
from hcp.targets import PriorBatch, stack_keypoints
from storage.pose_image import draw_pose


def step_generator(seed: int, step: int, rank: int, part: int) -> torch.Generator:
    """The CPU generator of one forward pass: the same noise on every kind of device."""
    mixed = np.random.SeedSequence([seed, step, rank, part]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(mixed[0] >> 1))


@torch.no_grad()
def encode(
    pipeline: StableDiffusionPipeline, batch: Batch, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Scaled latents [B, C, h, w] and text embeddings [B, K, C], in the U-Net's dtype."""
    vae, unet = pipeline.vae, pipeline.unet
    posterior = vae.encode(batch.pixels.to(vae.device, vae.dtype)).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator).to(posterior.mean)
    latents = (posterior.mean + posterior.std * noise) * vae.config.scaling_factor
    text = pipeline.text_encoder(batch.input_ids.to(pipeline.text_encoder.device))[0]
    return latents.to(unet.dtype), text.to(unet.dtype)


def denoising_loss(
    scheduler: Any,
    prediction: Tensor,
    latents: Tensor,
    *,
    noise: Tensor,
    timesteps: Tensor,
    min_snr_gamma: float | None = None,
) -> Tensor:
    """Mean squared error to the noise or the velocity, float32 scalar.

    With ``min_snr_gamma`` each sample is weighted by min(SNR, gamma) / SNR (epsilon) or
    min(SNR, gamma) / (SNR + 1) (velocity): Hang et al. 2023, Min-SNR.
    """
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    per_sample = mse_loss(prediction.float(), target.float(), reduction="none").mean(dim=(1, 2, 3))
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
