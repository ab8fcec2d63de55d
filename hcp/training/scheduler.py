"""The noise that a base was trained with, read from its scheduler; what cannot be served is named.

A pipeline's scheduler is made for drawing. Training needs what lies behind it: the share of noise
at each time step, and what the base predicts.
"""

from typing import Any

import torch
from diffusers import DDPMScheduler

from hcp.base import BasePipeline

PREDICTION_TYPES = ("epsilon", "v_prediction")
_OTHER_INPUTS = {
    "time_cond_proj_dim": "the guidance scale (a distilled base, as LCM's)",
    "class_embed_type": "classes",
    "num_class_embeds": "classes",
}
_SAME_NOISE = 1e-4  # of alphas_cumprod: a sampler may hold the last one just above 0
_ZERO_SNR = 1e-6


def training_scheduler(pipeline: BasePipeline) -> Any:
    """The scheduler that noises latents at the base's own time steps.

    Raises:
        ValueError: the base is no diffusion in discrete steps (flow matching, EDM), predicts
            neither noise nor velocity, or noise at a time step where nothing else is left; or its
            U-Net takes inputs that training has none of.
    """
    _check_inputs(pipeline)
    own: Any = pipeline.scheduler
    name = type(own).__name__
    if (other := _other_noise(own, name)) is not None:
        raise ValueError(
            f"the base's scheduler is {name}: {other}, which training cannot serve; it serves "
            "variance-preserving diffusion in discrete steps, as DDPMScheduler and DDIMScheduler. "
            "Pictures are drawn with it all the same"
        )
    prediction = own.config.get("prediction_type", "epsilon")
    if prediction not in PREDICTION_TYPES:
        raise ValueError(
            f"the base predicts {prediction!r} (its {name}); "
            f"training knows {', '.join(PREDICTION_TYPES)}"
        )
    scheduler = _ddpm(own, name)
    if prediction == "epsilon" and float(scheduler.alphas_cumprod[-1]) < _ZERO_SNR:
        raise ValueError(
            f"the base's {name} has zero terminal SNR (rescale_betas_zero_snr) and predicts "
            "'epsilon': at the last time step that is its input, and nothing is learnt; such a "
            "base predicts 'v_prediction'"
        )
    return scheduler


def _other_noise(own: Any, name: str) -> str | None:
    """What a scheduler's noise is called, where it is none of discrete steps."""
    if getattr(own, "alphas_cumprod", None) is None:
        if "flow" in f"{name}{dict(own.config)}".lower():
            return "flow matching"
        return "the noise of EDM (Karras et al. 2022)" if "EDM" in name else "another noise"
    if own.config.get("use_flow_sigmas"):
        return "flow matching (use_flow_sigmas)"
    if own.config.get("timestep_type") == "continuous":
        return "noise of continuous time (timestep_type 'continuous')"
    return None


def _check_inputs(pipeline: BasePipeline) -> None:
    """See that a U-Net takes latents, time and text, and of SDXL sizes and pooled text, alone."""
    config: Any = pipeline.unet.config
    for name, meaning in _OTHER_INPUTS.items():
        if (value := config.get(name)) is not None:
            raise ValueError(
                f"the base's U-Net has {name} {value!r}: it takes {meaning}, which training has "
                "none of; expected a base that is no distilled and no class-conditional model"
            )


def _ddpm(own: Any, name: str) -> Any:
    try:
        scheduler: Any = DDPMScheduler.from_config(own.config)
    except NotImplementedError as error:
        raise ValueError(
            f"the base's {name} noises by beta_schedule {own.config.get('beta_schedule')!r}, "
            "which diffusers' DDPMScheduler does not know"
        ) from error
    ours, theirs = scheduler.alphas_cumprod, torch.as_tensor(own.alphas_cumprod).to("cpu")
    if ours.shape != theirs.shape or (ours - theirs).abs().max() > _SAME_NOISE:
        raise ValueError(
            f"the base's {name} adds other noise than the DDPMScheduler of the same settings: "
            "training would not see what the base was trained on"
        )
    return scheduler
