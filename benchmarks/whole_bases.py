"""Whole pipelines with random weights in the published layouts, made where they run; and batches.

The U-Nets are those of ``benchmarks.unets``; VAE, text encoders, tokenizers and scheduler those of
``hcp/layouts``. Quick ones have the same parts at tiny widths.
"""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline

from benchmarks.unets import SIZES
from hcp.single_file import clip_tokenizer
from hcp.training.batches import Batch, collate
from hcp.training.examples import Example

Name = Literal["sd15", "sdxl"]
_FOLDER = {"sd15": "sd1", "sdxl": "sdxl"}
_CAPTION = "a woman and a man dancing on a stage"

_TINY_TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2,
              "num_hidden_layers": 2, "projection_dim": 32}  # fmt: skip
_TINY_VAE = {"block_out_channels": (8,) * 4, "norm_num_groups": 4, "layers_per_block": 1}
_TINY_UNET: Mapping[Name, Mapping[str, Any]] = {
    "sd15": {"block_out_channels": (16, 32, 32, 32), "cross_attention_dim": 32,
             "attention_head_dim": 2, "norm_num_groups": 8, "layers_per_block": 1},
    "sdxl": {"block_out_channels": (16, 32, 32), "cross_attention_dim": 64,
             "attention_head_dim": (1, 2, 2), "transformer_layers_per_block": (1, 1, 2),
             "norm_num_groups": 8, "layers_per_block": 1, "addition_time_embed_dim": 4,
             "projection_class_embeddings_input_dim": 6 * 4 + 32},
}  # fmt: skip
_TINY_SIDE = 8  # latents


def random_base(name: Name, *, device: torch.device, dtype: torch.dtype, tiny: bool) -> Any:
    """A StableDiffusionPipeline or StableDiffusionXLPipeline that nobody trained."""
    layout, side, _ = SIZES[name]
    settings = dict(layout) | (dict(_TINY_UNET[name]) if tiny else {})
    side = _TINY_SIDE if tiny else side
    folder = files("hcp") / "layouts" / _FOLDER[name]
    vae: Any = AutoencoderKL
    vae_settings = vae.load_config(str(folder), subfolder="vae") | (_TINY_VAE if tiny else {})
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    try:
        torch.set_default_dtype(dtype)
        with device:  # made there: no copy through the host's memory
            parts: dict[str, Any] = {
                "unet": diffusers.UNet2DConditionModel(sample_size=side, **settings),
                "vae": vae.from_config(vae_settings),
                "text_encoder": _text_encoder(folder, "text_encoder", tiny=tiny),
            }
            if name == "sdxl":
                parts["text_encoder_2"] = _text_encoder(folder, "text_encoder_2", tiny=tiny)
    finally:
        torch.set_default_dtype(before)
    for part in parts.values():
        part.eval().requires_grad_(requires_grad=False)
    build: Any = StableDiffusionXLPipeline if name == "sdxl" else StableDiffusionPipeline
    parts |= {"tokenizer": clip_tokenizer(pad_token="<|endoftext|>"), "scheduler": _scheduler(name)}
    if name == "sdxl":
        parts["tokenizer_2"] = clip_tokenizer(pad_token="!")
    else:
        parts |= {"safety_checker": None, "feature_extractor": None,
                  "requires_safety_checker": False}  # fmt: skip
    return build(**parts).to(device)


def photos(pipeline: Any, *, count: int, side_px: int) -> Batch:
    """A batch of noise in which two people stand, with a caption of human words."""
    rng = np.random.default_rng(0)
    mask = np.zeros((side_px, side_px), np.uint8)
    mask[:, : side_px // 3], mask[:, -side_px // 3 :] = 1, 2
    keypoints = rng.uniform(0, side_px, (2, 17, 3)).astype(np.float32)
    keypoints[..., 2] = 1
    pixels = rng.integers(0, 256, (3, side_px, side_px), dtype=np.uint8)
    example = Example(
        key="noise", caption=_CAPTION, pixels=pixels, keypoints=keypoints, mask=mask,
        source_px=(side_px, side_px), crop_px=(0, 0),
    )  # fmt: skip
    return collate([example] * count, tokenizer=pipeline.tokenizer)


def _text_encoder(folder: Any, part: str, *, tiny: bool) -> Any:
    config: Any = transformers.CLIPTextConfig.from_pretrained(str(folder / part))
    for key, value in _TINY_TEXT.items() if tiny else ():
        setattr(config, key, value)
    kind = "CLIPTextModelWithProjection" if part == "text_encoder_2" else "CLIPTextModel"
    return getattr(transformers, kind)(config)


def _scheduler(name: Name) -> Any:
    kind: Any = diffusers.EulerDiscreteScheduler if name == "sdxl" else diffusers.DDIMScheduler
    return kind.from_pretrained(str(files("hcp") / "layouts" / _FOLDER[name] / "scheduler"))
