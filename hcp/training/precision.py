"""Half precision in training: what the base is held in, autocast, the scale of gradients.

Trainable weights and the optimizer's state are float32 throughout.
"""

from typing import Any

import torch

from hcp.base import BasePipeline
from hcp.training.config import Precision

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def base_dtype(precision: Precision, device: str) -> torch.dtype:
    """What the frozen base is held in: half precision on a GPU alone; ``auto`` is bfloat16."""
    if device == "cpu":
        return torch.float32
    return torch.bfloat16 if precision == "auto" else _DTYPES[precision]


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The U-Net's forward pass runs in this; nothing happens in float32."""
    dtype = _DTYPES[precision]
    half = dtype is not torch.float32
    return torch.autocast(device.type, dtype if half else None, enabled=half)


def gradient_scaler(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Scales the loss in float16, where small gradients would be 0; else it passes all through.

    A step whose gradients overflow is left out and halves the scale: how the scale is found, and no
    fault of the step.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")


def keep_encoder_exact(pipeline: BasePipeline) -> None:
    """Hold a VAE that overflows in float16 in float32, as diffusers does where it decodes."""
    vae: Any = pipeline.vae
    if vae is not None and vae.dtype == torch.float16 and vae.config.force_upcast:
        vae.to(torch.float32)
