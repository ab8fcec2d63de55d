"""The base's own noise is what training adds; what it cannot serve is refused by name."""

from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from hcp.training.denoising import denoising_loss
from hcp.training.scheduler import training_scheduler

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize(
    "name",
    [
        "DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler", "LMSDiscreteScheduler",
        "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler",
        "HeunDiscreteScheduler", "DDPMScheduler", "LCMScheduler",
    ],
)  # fmt: skip
def test_whatever_draws_the_noise_is_the_bases(name: str, pipeline: Any) -> None:
    pipeline.scheduler = getattr(diffusers, name)(**SD, num_train_timesteps=500)
    found = training_scheduler(pipeline)
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 500) ** 2
    torch.testing.assert_close(found.alphas_cumprod, (1 - betas).cumprod(0))
    assert found.config.num_train_timesteps == 500
    assert found.config.prediction_type == "epsilon"


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler"])
def test_zero_terminal_snr_is_kept_with_velocity(
    name: str, pipeline: StableDiffusionPipeline
) -> None:
    pipeline.scheduler = getattr(diffusers, name)(
        **SD, rescale_betas_zero_snr=True, prediction_type="v_prediction"
    )
    found = training_scheduler(pipeline)
    assert found.alphas_cumprod[-1] == 0
    latents, noise = torch.ones(3, 4, 2, 2), torch.full((3, 4, 2, 2), 2.0)
    timesteps = torch.tensor([0, 500, 999])
    noisy = found.add_noise(latents, noise, timesteps)
    torch.testing.assert_close(noisy[-1], noise[-1])
    zero = torch.zeros_like(latents)
    for gamma in (None, 5.0):
        loss = denoising_loss(
            found, zero, latents, noise=noise, timesteps=timesteps, min_snr_gamma=gamma
        )
        assert loss.isfinite()
        assert loss > 0


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        (diffusers.FlowMatchEulerDiscreteScheduler(), "FlowMatchEulerDiscreteScheduler: flow"),
        (diffusers.EDMEulerScheduler(), "EDMEulerScheduler: another noise"),
        (
            diffusers.DPMSolverMultistepScheduler(
                **SD, use_flow_sigmas=True, prediction_type="flow_prediction"
            ),
            "flow matching",
        ),
        (DDIMScheduler(**SD, prediction_type="sample"), "predicts 'sample'"),
        (DDIMScheduler(**SD, rescale_betas_zero_snr=True), "zero terminal SNR"),
        (
            diffusers.EulerDiscreteScheduler(**SD, rescale_betas_zero_snr=True),
            "EulerDiscreteScheduler has zero terminal SNR",
        ),
        (diffusers.UnCLIPScheduler(), "UnCLIPScheduler adds other noise"),
    ],
    ids=["flow", "edm", "flow sigmas", "sample", "zero snr", "zero snr euler", "unclip"],
)  # fmt: skip
def test_what_training_cannot_serve_is_refused_by_name(
    scheduler: Any, said: str, pipeline: StableDiffusionPipeline
) -> None:
    pipeline.scheduler = scheduler
    with pytest.raises(ValueError, match=said):
        training_scheduler(pipeline)
