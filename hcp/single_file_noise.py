"""What a single file says of its base's noise: marks among its tensors, beside the weights.

The marks are those that the community's tools write and read: ``v_pred`` and ``ztsnr``, empty
tensors, for velocity and zero terminal SNR; ``edm_mean`` and ``edm_std``, the statistics of the
latents of Playground v2.5, whose noise is EDM's (Karras et al. 2022); ``edm_vpred.sigma_max``, of
CosXL, for EDM with velocity.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from safetensors import safe_open

_VELOCITY, _ZERO_SNR = "v_pred", "ztsnr"
_MEAN, _STD, _EDM_FACTOR = "edm_mean", "edm_std", 0.5
_EDM_VELOCITY, _SIGMA_MIN = "edm_vpred.sigma_max", "edm_vpred.sigma_min"


def with_noise_of(pipeline: Any, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """A file's pipeline with the scheduler, and the latents' scale, that its marks ask for.

    Args:
        pipeline: as its settings have it; changed where there are marks.
        path: the file.
        shapes: of its tensors.
    """
    if _VELOCITY in shapes:
        pipeline.scheduler = type(pipeline.scheduler).from_config(
            pipeline.scheduler.config, prediction_type="v_prediction",
            rescale_betas_zero_snr=_ZERO_SNR in shapes,
        )  # fmt: skip
    elif _EDM_VELOCITY in shapes:
        pipeline.scheduler = EDMEulerScheduler(
            prediction_type="v_prediction", sigma_data=1.0, sigma_schedule="exponential",
            sigma_max=_numbers(path, _EDM_VELOCITY)[0],
            sigma_min=_numbers(path, _SIGMA_MIN)[0] if _SIGMA_MIN in shapes else 0.002,
        )  # fmt: skip
    elif _MEAN in shapes and _STD in shapes:
        pipeline.scheduler = EDMDPMSolverMultistepScheduler()
        if pipeline.vae is not None:
            pipeline.vae.register_to_config(
                latents_mean=_numbers(path, _MEAN), latents_std=_numbers(path, _STD),
                scaling_factor=_EDM_FACTOR,
            )  # fmt: skip
    return pipeline


def _numbers(path: Path, name: str) -> list[float]:
    with safe_open(path, "pt") as file:
        return file.get_tensor(name).float().flatten().tolist()
