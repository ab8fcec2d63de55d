"""A base in one ``.safetensors`` file, as the community passes them round: no hub is asked.

Such a file holds weights under the names of the original code and no settings. They are taken from
a folder of the same name beside it (``x.safetensors``, ``x/model_index.json`` and the rest of a
pipeline in diffusers layout; weights there are not read), else from the published layouts in
``hcp/layouts``: Stable Diffusion 1.x, 2.x at 768 px, XL.
"""

import gzip
import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import as_file, files
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import torch
from diffusers import (
    AutoencoderKL,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors import SafetensorError, safe_open
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from hcp.single_file_noise import with_noise_of
from storage.errors import CheckpointError
from storage.weight_files import not_a_model_file, tensor_shapes

logger = logging.getLogger(__name__)

Layout = Literal["sd1", "sd2", "sdxl"]

_UNET, _VAES = "model.diffusion_model.", ("first_stage_model.", "vae.")
_FIRST_CONV = f"{_UNET}input_blocks.0.0.weight"
_TEXT: Final[dict[Layout, str]] = {
    "sdxl": "conditioner.embedders.1.model.",
    "sd2": "cond_stage_model.model.",
    "sd1": "cond_stage_model.transformer.",
}
_LATENT_CHANNELS = 4
# What else lies in such files, by a part of a tensor's name.
_OTHERS = {
    "lora": "a LoRA, which goes onto a base",
    "hcp.": "an HcP adapter, which goes onto a base",
    "joint_blocks.": "Stable Diffusion 3",
    "double_blocks.": "FLUX",
    "conditioner.embedders.0.model.": "the refiner of Stable Diffusion XL",
    "control_model.": "a ControlNet, which goes beside a base",
    "down_blocks.": "a part of a pipeline in diffusers layout: name the pipeline's folder",
}
_OLD_TEXT = "cond_stage_model.transformer.embeddings.position_embedding.weight"


def load_single_file(path: Path, *, dtype: torch.dtype, without: Sequence[str] = ()) -> Any:
    """The StableDiffusionPipeline or StableDiffusionXLPipeline of a file.

    Args:
        path: the file.
        dtype: of the weights.
        without: components that are not built; they are None.
    Raises:
        CheckpointError: it is no such file, not whole, or of another layout than its settings.
    """
    shapes = _whole_file(path)
    layout = file_layout(shapes, str(path))
    given: dict[str, Any] = dict.fromkeys(without)
    with settings_of(path, layout) as settings:
        if settings != path.with_suffix(""):
            logger.info("base %s: settings of the published layout %s", path, layout)
            given = _tokenizers(layout) | given
        if _OLD_TEXT in shapes and "text_encoder" not in given:
            given["text_encoder"] = _old_text_encoder(path, settings, dtype)
        pipeline = _from_single_file(path, settings, layout, {"torch_dtype": dtype, **given})
    return with_noise_of(pipeline, path, shapes)


def _whole_file(path: Path) -> dict[str, tuple[int, ...]]:
    if path.suffix.lower() != ".safetensors":
        raise CheckpointError(
            f"base model {path}: expected a folder, a hub id or a .safetensors file; a pickle "
            f"({path.suffix or 'no suffix'}) can run code and is not read: where you trust it, "
            "diffusers' from_single_file(path).save_pretrained(folder) converts it"
        )
    if why := not_a_model_file(path):
        raise CheckpointError(f"base model {why}")
    return tensor_shapes(path)


@contextmanager
def settings_of(path: Path, layout: Layout | None = None) -> Generator[Path]:
    """The folder with a file's settings: the one beside it, else that of its published layout.

    Args:
        path: the file.
        layout: its layout where that is known already.
    Raises:
        CheckpointError: it is no whole base.
    """
    beside = path.with_suffix("")
    if (beside / "model_index.json").is_file():
        yield beside
        return
    layout = layout or file_layout(_whole_file(path), str(path))
    with as_file(files("hcp") / "layouts" / layout) as folder:
        yield folder


@contextmanager
def _readable(path: Path) -> Generator[Path]:
    # diffusers takes files by their suffix, in small letters.
    if path.suffix == ".safetensors":
        yield path
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / f"{path.stem}.safetensors"
        link.symlink_to(path.resolve())
        yield link


def keep_vae_scale(pipeline: Any, source: str, *, local_only: bool = True) -> None:
    """Give a pipeline without its VAE the scale that is its own: it would take 8.

    Args:
        pipeline: the one.
        source: the folder or hub id whose settings say it.
        local_only: whether no hub is asked.
    """
    vae: Any = AutoencoderKL.load_config(source, subfolder="vae", local_files_only=local_only)
    pipeline.vae_scale_factor = 2 ** (len(vae["block_out_channels"]) - 1)


def file_layout(shapes: Mapping[str, Sequence[int]], where: str) -> Layout:
    """Which Stable Diffusion the tensors of a file are; ``where`` names the file in messages.

    Raises:
        CheckpointError: another model, a part of one, or one for other inputs.
    """
    names = " ".join(shapes)
    layout: Layout | None = next((kind for kind in _TEXT if _TEXT[kind] in names), None)
    if _FIRST_CONV not in shapes or layout is None:
        other = next((said for part, said in _OTHERS.items() if part in names), None)
        if other is None and _UNET in names:
            other = "a U-Net without its text encoder"
        raise CheckpointError(
            f"base model {where}: expected a whole Stable Diffusion 1.x, 2.x or XL in the layout "
            f"of the original code, got {other or f'unknown tensors, as {names[:120]!r}'}"
        )
    channels = shapes[_FIRST_CONV][1]
    if channels != _LATENT_CHANNELS:
        raise CheckpointError(
            f"base model {where}: its U-Net takes {channels} channels, as for inpainting or "
            f"editing; expected a text-to-image model with {_LATENT_CHANNELS}"
        )
    if not any(prefix in names for prefix in _VAES):
        raise CheckpointError(f"base model {where}: it holds no VAE (first_stage_model)")
    return layout


def clip_tokenizer(*, pad_token: str) -> CLIPTokenizer:
    """The tokenizer of all CLIP text encoders, from the merges in ``hcp/layouts``.

    The vocabulary follows from them: the bytes, the bytes at a word's end, the merges, and two
    marks (Radford et al. 2021; the merges are OpenAI's, under the MIT licence).
    """
    packed = (files("hcp") / "layouts" / "clip_merges.txt.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    merges: Any = [tuple(line.split()) for line in lines]
    signs = _byte_signs()
    words = [*signs, *(f"{sign}</w>" for sign in signs), *("".join(merge) for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(words)}
    return CLIPTokenizer(vocab, merges, pad_token=pad_token, model_max_length=77)


def _byte_signs() -> list[str]:
    # A printable sign for each byte, in the order of GPT-2's byte-level vocabulary.
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = 256 - len(printable)
    return [chr(code) for code in (*printable, *range(256, 256 + rest))]


def _tokenizers(layout: Layout) -> dict[str, Any]:
    first = clip_tokenizer(pad_token="!" if layout == "sd2" else "<|endoftext|>")
    second = {"tokenizer_2": clip_tokenizer(pad_token="!")} if layout == "sdxl" else {}
    return {"tokenizer": first, **second}


def _old_text_encoder(path: Path, settings: Path, dtype: torch.dtype) -> Any:
    """CLIP under the names that it had before ``text_model``, which diffusers does not know."""
    config: Any = CLIPTextConfig.from_pretrained(settings / "text_encoder")
    encoder: Any = CLIPTextModel(config)
    prefix = "text_model." if hasattr(encoder, "text_model") else ""
    with safe_open(path, "pt") as file:
        tensors = {
            prefix + name.removeprefix(_TEXT["sd1"]): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 - it is no dictionary
            if name.startswith(_TEXT["sd1"]) and not name.endswith("position_ids")
        }
    try:
        unfit = encoder.load_state_dict(tensors, strict=False)
        if missing := [name for name in unfit.missing_keys if "position_ids" not in name]:
            raise RuntimeError(f"{len(missing)} tensors are missing, such as {missing[0]}")
    except RuntimeError as error:
        raise CheckpointError(
            f"base model {path}: its text encoder does not fit the settings in {settings}: {error}"
        ) from error
    return encoder.to(dtype).eval()


def _from_single_file(path: Path, settings: Path, layout: Layout, given: dict[str, Any]) -> Any:
    kind: Any = StableDiffusionXLPipeline if layout == "sdxl" else StableDiffusionPipeline
    try:
        _check_sizes(path, settings, layout)
        with _readable(path) as file:
            pipeline = kind.from_single_file(
                str(file), config=str(settings), local_files_only=True, **given
            )
        if pipeline.vae is None:
            keep_vae_scale(pipeline, str(settings))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"base model {path}: its tensors do not fit the settings in {settings} "
            f"({type(error).__name__}: {str(error)[:300]}); the settings of another layout are "
            f"read from {path.with_suffix('')}/"
        ) from error
    return pipeline


def _check_sizes(path: Path, settings: Path, layout: Layout) -> None:
    # Without accelerate, diffusers leaves what a file lacks at random values, and says nothing.
    unet: Any = UNet2DConditionModel
    vae: Any = AutoencoderKL
    text: Any = CLIPTextConfig.from_pretrained(settings / "text_encoder")
    first = "conditioner.embedders.0.transformer." if layout == "sdxl" else _TEXT[layout]
    with torch.device("meta"):
        expected: dict[str, tuple[tuple[str, ...], torch.nn.Module]] = {
            "U-Net": ((_UNET,), unet.from_config(unet.load_config(settings, subfolder="unet"))),
            "VAE": (_VAES, vae.from_config(vae.load_config(settings, subfolder="vae"))),
            "text encoder": ((first,), CLIPTextModel(text)),
        }
        if layout == "sdxl":
            text = CLIPTextConfig.from_pretrained(settings / "text_encoder_2")
            expected["second text encoder"] = (
                (_TEXT[layout],), CLIPTextModelWithProjection(text)
            )  # fmt: skip
    shapes = tensor_shapes(path)
    for part, (prefixes, module) in expected.items():
        there = sum(prod(shape) for name, shape in shapes.items() if name.startswith(prefixes))
        wanted = sum(parameter.numel() for parameter in module.parameters())
        if there < wanted:
            raise ValueError(f"{there:,} of the {wanted:,} weights of its {part} are there")
