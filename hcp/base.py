"""Load the frozen base text-to-image pipeline: a folder, a file or a name of the Hugging Face hub.

Of a folder whose weights are there in another float type alone (``*.fp16.safetensors``) those load.
"""

import logging
import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from hcp.single_file import keep_vae_scale, load_single_file
from storage.errors import CheckpointError
from storage.weight_files import not_a_model_file

logger = logging.getLogger(__name__)

BasePipeline = StableDiffusionPipeline | StableDiffusionXLPipeline
"""Stable Diffusion 1.x and 2.x, or XL."""

ENCODERS = ("vae", "text_encoder", "text_encoder_2")
"""What a training from a cache does without."""

HUB_TIMEOUT_S = 10.0
_UNREACHABLE = (HfHubHTTPError, OSError, RuntimeError, ValueError)
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_WEIGHTS = re.compile(r"(?P<part>\w+)/[\w-]+(\.(?P<variant>\w+))?(-\d+-of-\d+)?\.safetensors")
_PREFERRED = ("fp32", "bf16", "fp16")


def load_base(
    id_or_dir: str | Path,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    without: Sequence[str] = (),
) -> BasePipeline:
    """The pipeline of a Stable-Diffusion-layout model, frozen and in evaluation mode.

    Args:
        id_or_dir: a directory in diffusers layout, a `.safetensors` file (`hcp.single_file`), or a
            hub id (`owner/name`); a hub id is looked for in the local cache first, and asked for
            on the network once, with a short timeout, unless HF_HUB_OFFLINE is set. Only
            safetensors weights load.
        device: where the models go.
        dtype: of the weights.
        without: components that are not loaded, such as ``ENCODERS``; they are None.
    Raises:
        CheckpointError: no such directory or file, unknown or unreachable hub id, a Git LFS
            pointer or a web page in a file's place, or neither a `StableDiffusionPipeline` nor a
            `StableDiffusionXLPipeline`; the message names what was tried.
    """
    name = str(id_or_dir)
    path = Path(name).expanduser()
    load = _Load(name=name, dtype=dtype, without=without)
    if path.is_file():
        pipeline: BasePipeline = load_single_file(path, dtype=dtype, without=without)
    else:
        pipeline = _from_folder(path, load) if path.is_dir() else _from_hub(load)
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


def weights_variant(names: Iterable[str]) -> str | None:
    """The variant of the weights among a pipeline's files that is there without the plain ones.

    Args:
        names: as ``unet/diffusion_pytorch_model.fp16.safetensors``, in any order.
    """
    variants: dict[str, set[str | None]] = {}
    for found in filter(None, map(_WEIGHTS.fullmatch, names)):
        variants.setdefault(found["part"], set()).add(found["variant"])
    only = {
        variant
        for part in ("unet", *ENCODERS)
        if None not in (known := variants.get(part, {None}))
        for variant in known
        if variant is not None
    }
    return min(only, key=lambda v: (*(v != one for one in _PREFERRED), v), default=None)


def _from_folder(folder: Path, load: _Load) -> BasePipeline:
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"base model {load.name!r}: expected a pipeline in diffusers layout, "
            f"but {folder} holds no model_index.json"
        )
    parts = [folder / part for part in ("unet", *ENCODERS) if part not in load.without]
    weights = [file for part in parts for file in sorted(part.glob("*.safetensors"))]
    variant = weights_variant(file.relative_to(folder).as_posix() for file in weights)
    read = [file for file in weights if variant is None or f".{variant}" in file.name]
    settings = [file for part in (folder, *parts) for file in sorted(part.glob("*.json"))]
    for file in (*settings, *(read or weights)):
        if why := not_a_model_file(file):
            raise CheckpointError(f"base model {load.name!r}: {why}")
    return _from_pretrained(str(folder), load, local_only=True, variant=variant)


def _from_hub(load: _Load) -> BasePipeline:
    name = load.name
    if not _HUB_ID.fullmatch(name) or name.startswith(".") or name.endswith(".safetensors"):
        raise CheckpointError(
            f"base model {name!r}: neither a directory nor a file "
            f"({Path(name).expanduser()} does not exist), and not a hub id (expected owner/name)"
        )
    try:
        return _from_folder(Path(snapshot_download(name, local_files_only=True)), load)
    except (CheckpointError, OSError) as error:
        tried = f"directory {Path(name).resolve()}; hub cache {constants.HF_HUB_CACHE}"
        if constants.HF_HUB_OFFLINE:
            raise CheckpointError(
                f"base model {name!r} not found. Tried: {tried}. The hub itself was not asked "
                "because HF_HUB_OFFLINE is set"
            ) from error
    names = _files_on_hub(name, tried=tried)
    logger.info("downloading base model %s", name)
    return _from_pretrained(name, load, local_only=False, variant=weights_variant(names))


def _files_on_hub(name: str, *, tried: str) -> list[str]:
    # One request with a timeout: diffusers itself would retry for minutes on a dead network.
    try:
        info = HfApi().model_info(name, timeout=HUB_TIMEOUT_S)
        return [file.rfilename for file in info.siblings or ()]
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
