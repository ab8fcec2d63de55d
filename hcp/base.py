"""Load the frozen base text-to-image pipeline from a directory or the Hugging Face hub."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from storage.errors import CheckpointError

logger = logging.getLogger(__name__)

BasePipeline = StableDiffusionPipeline | StableDiffusionXLPipeline
"""Stable Diffusion 1.x and 2.x, or XL."""

ENCODERS = ("vae", "text_encoder", "text_encoder_2")
"""What a training from a cache does without."""

HUB_TIMEOUT_S = 10.0
_UNREACHABLE = (HfHubHTTPError, OSError, RuntimeError, ValueError)
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def load_base(
    id_or_dir: str | Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    without: Sequence[str] = (),
) -> BasePipeline:
    """The pipeline of a Stable-Diffusion-layout model, frozen and in evaluation mode.

    Args:
        id_or_dir: a directory in diffusers layout, or a hub id (`owner/name`); a hub id is looked
            for in the local cache first, and asked for on the network once, with a short timeout,
            unless HF_HUB_OFFLINE is set. Only safetensors weights load.
        device: where the models go.
        dtype: of the weights.
        without: components that are not loaded, such as ``ENCODERS``; they are None.
    Raises:
        CheckpointError: no such directory, unknown or unreachable hub id, or neither a
            `StableDiffusionPipeline` nor a `StableDiffusionXLPipeline`; the message names what
            was tried.
    """
    name = str(id_or_dir)
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise CheckpointError(
                f"base model {name!r}: expected a pipeline in diffusers layout, "
                f"but {path} holds no model_index.json"
            )
        load = _Load(name=name, dtype=dtype, without=without)
        pipeline = _from_pretrained(str(path), load, local_only=True)
    else:
        pipeline = _from_hub(_Load(name=name, dtype=dtype, without=without))
    for module in frozen_modules(pipeline):
        module.requires_grad_(requires_grad=False)
        module.eval()
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """What was asked for."""

    name: str
    dtype: torch.dtype
    without: Sequence[str]


def _from_hub(load: _Load) -> BasePipeline:
    name = load.name
    if not _HUB_ID.fullmatch(name) or name.startswith("."):
        raise CheckpointError(
            f"base model {name!r}: not a directory ({Path(name).expanduser()} does not exist), "
            "and not a hub id (expected owner/name)"
        )
    try:
        return _from_pretrained(name, load, local_only=True)
    except CheckpointError as error:
        tried = f"directory {Path(name).resolve()}; hub cache {constants.HF_HUB_CACHE}"
        if constants.HF_HUB_OFFLINE:
            raise CheckpointError(
                f"base model {name!r} not found. Tried: {tried}. The hub itself was not asked "
                "because HF_HUB_OFFLINE is set"
            ) from error
    _probe_hub(name, tried=tried)
    logger.info("downloading base model %s", name)
    return _from_pretrained(name, load, local_only=False)


def _probe_hub(name: str, *, tried: str) -> None:
    # One request with a timeout: diffusers itself would retry for minutes on a dead network.
    try:
        HfApi().model_info(name, timeout=HUB_TIMEOUT_S)
    except Exception as error:
        if isinstance(error, RepositoryNotFoundError | HFValidationError):
            why = "(no such model, or it is private or gated and no token is set)"
        # The hub client's HTTP library changed with its major version (requests, now httpx); its
        # connection errors share no base class with ours.
        elif isinstance(error, _UNREACHABLE) or "http" in type(error).__module__:
            why = f"could not be reached ({type(error).__name__}: {str(error)[:200]})"
        else:
            raise
        raise CheckpointError(
            f"base model {name!r} not found. Tried: {tried}; hub {constants.ENDPOINT} {why}"
        ) from error


def _from_pretrained(source: str, load: _Load, *, local_only: bool) -> BasePipeline:
    name = load.name
    build: Any = DiffusionPipeline.from_pretrained  # the class that the model's index names
    try:
        config: Any = DiffusionPipeline.load_config(source, local_files_only=local_only)
        left = {part: None for part in load.without if part in config}
        pipeline = build(
            source, dtype=load.dtype, use_safetensors=True, local_files_only=local_only,
            **_without_checker(config), **left,
        )  # fmt: skip
        if "vae" in left:  # the pipeline would take the VAE's scale for 8
            vae: Any = AutoencoderKL.load_config(
                source, subfolder="vae", local_files_only=local_only
            )
            pipeline.vae_scale_factor = 2 ** (len(vae["block_out_channels"]) - 1)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"base model {name!r}: {source} does not load as a StableDiffusionPipeline or a "
            f"StableDiffusionXLPipeline ({type(error).__name__}: {str(error)[:300]})"
        ) from error
    if type(pipeline) not in (StableDiffusionPipeline, StableDiffusionXLPipeline):
        raise CheckpointError(
            f"base model {name!r}: expected a StableDiffusionPipeline or a "
            f"StableDiffusionXLPipeline, got {type(pipeline).__name__}"
        )
    return pipeline


def _without_checker(config: Any) -> dict[str, Any]:
    if "requires_safety_checker" not in config and "safety_checker" not in config:
        return {}
    return {"safety_checker": None, "requires_safety_checker": False}


def sampling_dtype(precision: str, device: str) -> torch.dtype:
    """The dtype that pictures are drawn in: ``auto`` is half precision on a GPU, else float32."""
    half = precision == "float16" or (precision == "auto" and device.startswith("cuda"))
    return torch.float16 if half else torch.float32


def native_size_px(pipeline: BasePipeline) -> int:
    """Side of the square pictures that the base was trained on: 512 for SD 1.5, 1024 for SDXL."""
    return int(pipeline.unet.config.sample_size) * int(pipeline.vae_scale_factor)


def text_encoders(pipeline: BasePipeline) -> list[Any]:
    """The text encoders that are loaded, up to two."""
    found = (getattr(pipeline, name, None) for name in ("text_encoder", "text_encoder_2"))
    return [encoder for encoder in found if encoder is not None]


def frozen_modules(pipeline: BasePipeline) -> list[Any]:
    """The networks that are loaded: the U-Net, and the VAE and text encoders where they are."""
    vae: Any = getattr(pipeline, "vae", None)
    return [pipeline.unet, *([] if vae is None else [vae]), *text_encoders(pipeline)]
