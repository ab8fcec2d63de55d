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
        (diffusers.EDMEulerScheduler(), "EDMEulerScheduler: the noise of EDM"),
        (diffusers.EDMDPMSolverMultistepScheduler(), "EDMDPMSolverMultistepScheduler: the noise"),
        (diffusers.FlowMatchHeunDiscreteScheduler(), "FlowMatchHeunDiscreteScheduler: flow"),
        (diffusers.CMStochasticIterativeScheduler(), "CMStochasticIterativeScheduler: another"),
        (diffusers.ScoreSdeVeScheduler(), "ScoreSdeVeScheduler: another noise"),
        (
            diffusers.EulerDiscreteScheduler(
                **SD, timestep_type="continuous", prediction_type="v_prediction"
            ),
            "continuous time",
        ),
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
    ids=[
        "flow", "edm", "edm dpm", "flow heun", "consistency", "sde", "continuous", "flow sigmas",
        "sample", "zero snr", "zero snr euler", "unclip",
    ],
)  # fmt: skip
def test_what_training_cannot_serve_is_refused_by_name(
    scheduler: Any, said: str, pipeline: StableDiffusionPipeline
) -> None:
    pipeline.scheduler = scheduler
    with pytest.raises(ValueError, match=said):
        training_scheduler(pipeline)


def served_or_refused(pipeline: Any) -> tuple[Any, str]:
    try:
        return training_scheduler(pipeline), ""
    except ValueError as refused:
        return None, str(refused)


def test_b04_every_scheduler_of_diffusers_is_served_or_refused_by_name(pipeline: Any) -> None:
    served: set[str] = set()
    for name in sorted(n for n in dir(diffusers) if n.endswith("Scheduler")):
        try:
            pipeline.scheduler = getattr(diffusers, name)()
        except Exception:  # one whose library is not installed, or that has no defaults
            continue
        found, said = served_or_refused(pipeline)
        if found is None:
            assert name in said
            continue
        served.add(name)
        own = pipeline.scheduler.alphas_cumprod
        torch.testing.assert_close(found.alphas_cumprod, own, atol=1e-4, rtol=0)
    assert {"DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler"} <= served
    assert not any("EDM" in name or "Flow" in name for name in served)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("time_cond_proj_dim", 256, "guidance scale"),
        ("num_class_embeds", 10, "classes"),
        ("class_embed_type", "timestep", "classes"),
    ],
)
def test_b04_inputs_that_training_has_none_of_are_refused_by_name(
    setting: str, value: object, said: str, pipeline: StableDiffusionPipeline
) -> None:
    pipeline.unet.register_to_config(**{setting: value})
    with pytest.raises(ValueError, match=f"{setting} .*{said}"):
        training_scheduler(pipeline)
