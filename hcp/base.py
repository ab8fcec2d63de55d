"""Load the frozen base text-to-image pipeline: a folder, a file or a name of the Hugging Face hub.

Of a folder whose weights are there in another float type alone (``*.fp16.safetensors``) those load.
"""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import constants
from safetensors import SafetensorError

from hcp.base_files import (
    ENCODERS,
    downloaded_file,
    files_on_hub,
    folder_variant,
    is_hub_file,
    local_base,
    numbers_stored,
    weights_variant,
)
from hcp.latents import fold_statistics
from hcp.single_file import keep_vae_scale, load_single_file
from storage.errors import CheckpointError

logger = logging.getLogger(__name__)

BasePipeline = StableDiffusionPipeline | StableDiffusionXLPipeline
"""Stable Diffusion 1.x and 2.x, or XL."""

_UNFIT = (  # what the libraries raise where files do not fit one another
    OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError,
    SafetensorError,
)  # fmt: skip


def load_base(
    id_or_dir: str | Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    without: Sequence[str] = (),
) -> BasePipeline:
    """The pipeline of a Stable-Diffusion-layout model, frozen and in evaluation mode.

    Args:
        id_or_dir: a directory in diffusers layout, a `.safetensors` file (`hcp.single_file`), a
            hub id (`owner/name`), or the address of a single file of the hub, also as
            `owner/name/file.safetensors`. What is on the hub is looked for in the local cache
            first, and asked for on the network once, with a short timeout, unless HF_HUB_OFFLINE
            is set. Only safetensors weights load.
        device: where the models go.
        dtype: of the weights.
        without: components that are not loaded, such as ``ENCODERS``; they are None.
    Raises:
        CheckpointError: no such directory or file, unknown or unreachable hub id, a Git LFS
            pointer or a web page in a file's place, or neither a `StableDiffusionPipeline` nor a
            `StableDiffusionXLPipeline`; the message names what was tried.
    """
    load = _Load(name=str(id_or_dir), dtype=dtype, without=without)
    pipeline = _loaded(load)
    for module in frozen_modules(pipeline):
        module.requires_grad_(requires_grad=False)
        module.eval()
        if lost := next((n for n, p in module.named_parameters() if p.is_meta), None):
            raise CheckpointError(
                f"base model {load.name!r}: {lost} of its {type(module).__name__} is not among the "
                "weights, which have other names than its settings"
            )
    if type(pipeline) is StableDiffusionPipeline and pipeline.vae is not None:
        fold_statistics(pipeline.vae)
    pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """What was asked for."""

    name: str
    dtype: torch.dtype
    without: Sequence[str]


def _loaded(load: _Load) -> BasePipeline:
    name = load.name
    here = local_base(name)
    if here is not None:
        try:
            return _from_place(here, load)
        except CheckpointError:  # in the hub's cache a part of it may be missing
            if constants.HF_HUB_OFFLINE or Path(name).expanduser().exists():
                raise
    if is_hub_file(name):
        return _from_place(downloaded_file(name), load)
    variant = weights_variant(files_on_hub(name, name))
    logger.info("downloading base model %s", name)
    return _from_pretrained(name, load, local_only=False, variant=variant)


def _from_place(place: Path, load: _Load) -> BasePipeline:
    if place.is_file():
        return load_single_file(place, dtype=load.dtype, without=load.without)
    variant = folder_variant(place, load.name, without=load.without)
    pipeline = _from_pretrained(str(place), load, local_only=True, variant=variant)
    _check_whole(pipeline, place, variant, load.name)
    return pipeline


def _check_whole(pipeline: Any, folder: Path, variant: str | None, name: str) -> None:
    # What a file lacks, the libraries leave at random values or nowhere, with a warning at most.
    for part in ("unet", *ENCODERS):
        module: Any = getattr(pipeline, part, None)
        if module is None:
            continue
        there = numbers_stored(folder / part, variant)
        wanted = sum(parameter.numel() for parameter in module.parameters())
        if there < wanted:
            raise CheckpointError(
                f"base model {name!r}: the weights in {folder / part} are not those of its "
                f"config.json: {there:,} numbers are there, its {type(module).__name__} has "
                f"{wanted:,}"
            )


def _from_pretrained(
    source: str, load: _Load, *, local_only: bool, variant: str | None
) -> BasePipeline:
    name = load.name
    build: Any = DiffusionPipeline.from_pretrained  # the class that the model's index names
    try:
        config: Any = DiffusionPipeline.load_config(source, local_files_only=local_only)
        left = {part: None for part in load.without if part in config}
        pipeline = build(
            source, dtype=load.dtype, use_safetensors=True, local_files_only=local_only,
            variant=variant, **_without_checker(config), **left,
        )  # fmt: skip
        if "vae" in left:
            keep_vae_scale(pipeline, source, local_only=local_only)
    except _UNFIT as error:
        raise CheckpointError(
            f"base model {name!r}: {source} does not load as a StableDiffusionPipeline or a "
            f"StableDiffusionXLPipeline ({type(error).__name__}: {str(error)[:300]})"
        ) from error
    if type(pipeline) not in (StableDiffusionPipeline, StableDiffusionXLPipeline):
        raise CheckpointError(
            f"base model {name!r}: expected a StableDiffusionPipeline or a "
            f"StableDiffusionXLPipeline, got {type(pipeline).__name__}"
        )
    _check_channels(pipeline, name)
    return pipeline


def _check_channels(pipeline: BasePipeline, name: str) -> None:
    config: Any = None if pipeline.unet is None else pipeline.unet.config
    if config is not None and config.in_channels != config.out_channels:
        raise CheckpointError(
            f"base model {name!r}: its U-Net takes {config.in_channels} channels, as for "
            f"inpainting or editing; expected a text-to-image model with {config.out_channels}"
        )


def _without_checker(config: Any) -> dict[str, Any]:
    if "requires_safety_checker" not in config and "safety_checker" not in config:
        return {}
    return {"safety_checker": None, "requires_safety_checker": False}


@contextmanager
def whole(pipeline: BasePipeline, base: str | None) -> Generator[None]:
    """The pipeline with its VAE and text encoders, loaded for the block where they are missing.

    Raises:
        CheckpointError: they are missing, and the base is not known or does not load.
    """
    parts: Any = pipeline
    left = [part for part in ENCODERS if getattr(parts, part, pipeline) is None]
    if left and base is None:
        raise CheckpointError(f"the pipeline has no {', '.join(left)}, and its base has no name")
    if left:
        loaded: Any = load_base(
            str(base), device=str(pipeline.device), dtype=pipeline.unet.dtype, without=("unet",)
        )
        for part in left:
            setattr(parts, part, getattr(loaded, part))
    try:
        yield
    finally:
        for part in left:
            setattr(parts, part, None)


def sampling_dtype(precision: str, device: str) -> torch.dtype:
    """The dtype that pictures are drawn in: ``auto`` is float16 on a GPU, else float32."""
    if precision == "auto":
        precision = "float16" if device.startswith("cuda") else "float32"
    dtypes = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    return dtypes[precision]


def native_size_px(pipeline: BasePipeline) -> int:
    """Side of the square pictures that the base was trained on: 512 for SD 1.5, 1024 for SDXL."""
    return int(pipeline.unet.config.sample_size) * int(pipeline.vae_scale_factor)


def text_encoders(pipeline: BasePipeline) -> list[Any]:
    """The text encoders that are loaded, up to two."""
    found = (getattr(pipeline, name, None) for name in ("text_encoder", "text_encoder_2"))
    return [encoder for encoder in found if encoder is not None]


def frozen_modules(pipeline: BasePipeline) -> list[Any]:
    """The networks that are loaded, of U-Net, VAE and text encoders."""
    networks: list[Any] = [pipeline.unet, pipeline.vae]
    return [each for each in networks if each is not None] + text_encoders(pipeline)
