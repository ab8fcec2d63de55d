"""The inverse of diffusers' conversion: a tiny pipeline as one file in the original layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTokenizer

from tests.hcp.layouts import Layout, layout_pipeline

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
_OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
_VAE_ATTENTION = {
    "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
}  # fmt: skip


def original_tensors(pipeline: Any) -> dict[str, Tensor]:
    """The pipeline's weights under the names of the original code."""
    tensors = _prefixed("model.diffusion_model.", _unet(pipeline.unet))
    tensors |= _prefixed("first_stage_model.", _vae(pipeline.vae))
    first = _prefixed("text_model.", _text(pipeline.text_encoder))
    if getattr(pipeline, "text_encoder_2", None) is not None:
        second = _open_clip(pipeline.text_encoder_2)
        tensors |= _prefixed("conditioner.embedders.0.transformer.", first)
        return tensors | _prefixed("conditioner.embedders.1.model.", second)
    if pipeline.unet.config.use_linear_projection:  # 2.x
        return tensors | _prefixed("cond_stage_model.model.", _open_clip(pipeline.text_encoder))
    return tensors | _prefixed("cond_stage_model.transformer.", first)


def save_single_file(pipeline: Any, path: Path, extra: Mapping[str, Tensor] | None = None) -> None:
    tensors = original_tensors(pipeline) | dict(extra or {})
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)


def save_settings(pipeline: Any, folder: Path) -> None:
    """The pipeline's folder without its weights."""
    pipeline.save_pretrained(folder)
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()


def saved(layout: Layout, tokenizer: CLIPTokenizer, folder: Path, **extra: Any) -> tuple[Any, Path]:
    """A tiny pipeline of a layout, and the file that it was saved to with its settings."""
    pipeline = layout_pipeline(layout, tokenizer)
    path = folder / "my tune.v2.safetensors"
    save_single_file(pipeline, path, extra)
    save_settings(pipeline, path.with_suffix(""))
    return pipeline, path


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _replaced(name: str, words: Mapping[str, str]) -> str:
    for ours, theirs in words.items():
        name = name.replace(f".{ours}.", f".{theirs}.")
    return name


def _unet(unet: Any) -> dict[str, Tensor]:
    mapping = DIFFUSERS_TO_LDM_MAPPING["unet"]
    top = mapping["layers"] | (
        mapping["addition_embed_type"] if hasattr(unet, "add_embedding") else {}
    )
    each = unet.config.layers_per_block + 1
    found: dict[str, Tensor] = {}
    for name, tensor in unet.state_dict().items():
        if name in top:
            found[top[name]] = tensor
            continue
        place, rest = _unet_place(name, each, unet)
        found[_replaced(f"{place}.{rest}", _RESNET if "resnets" in name else {})] = tensor
    return found


def _unet_place(name: str, each: int, unet: Any) -> tuple[str, str]:
    words = name.split(".")
    if words[0] == "mid_block":
        kind, index = words[1], int(words[2])
        return f"middle_block.{2 * index if kind == 'resnets' else 1}", ".".join(words[3:])
    block, kind, layer = int(words[1]), words[2], int(words[3])
    rest = ".".join(words[4:])
    part = 0 if kind == "resnets" else 1
    if words[0] == "down_blocks":
        if kind == "downsamplers":
            return f"input_blocks.{1 + block * each + each - 1}.0.op", words[-1]
        return f"input_blocks.{1 + block * each + layer}.{part}", rest
    if kind == "upsamplers":
        part = 2 if hasattr(unet.up_blocks[block], "attentions") else 1
        return f"output_blocks.{block * each + each - 1}.{part}", rest
    return f"output_blocks.{block * each + layer}.{part}", rest


def _vae(vae: Any) -> dict[str, Tensor]:
    top = DIFFUSERS_TO_LDM_MAPPING["vae"]
    last = len(vae.config.up_block_types) - 1
    found: dict[str, Tensor] = {}
    for name, tensor in vae.state_dict().items():
        words = name.split(".")
        if name in top:
            found[top[name]] = tensor
        elif words[1] == "mid_block" and words[2] == "resnets":
            found[f"{words[0]}.mid.block_{int(words[3]) + 1}.{'.'.join(words[4:])}"] = tensor
        elif words[1] == "mid_block":
            rest = _replaced(f".{'.'.join(words[4:])}", _VAE_ATTENTION)
            as_conv = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
            found[f"{words[0]}.mid.attn_1{rest}"] = as_conv
        else:
            down = words[1] == "down_blocks"
            index = int(words[2]) if down else last - int(words[2])
            place = f"{words[0]}.{'down' if down else 'up'}.{index}"
            rest = ".".join(words[5:]).replace("conv_shortcut", "nin_shortcut")
            kind = {"downsamplers": "downsample", "upsamplers": "upsample"}.get(words[3])
            found[f"{place}.{kind or f'block.{words[4]}'}.{rest}"] = tensor
    return found


def _text(encoder: Any) -> dict[str, Tensor]:
    named = {name.removeprefix("text_model."): t for name, t in encoder.state_dict().items()}
    return {name: tensor for name, tensor in named.items() if not name.endswith("position_ids")}


def _open_clip(encoder: Any) -> dict[str, Tensor]:
    named = _text(encoder)
    found = {
        "token_embedding.weight": named["embeddings.token_embedding.weight"],
        "positional_embedding": named["embeddings.position_embedding.weight"],
        "ln_final.weight": named["final_layer_norm.weight"],
        "ln_final.bias": named["final_layer_norm.bias"],
    }
    if "text_projection.weight" in named:
        found["text_projection"] = named["text_projection.weight"].T
    for name, tensor in named.items():
        if not name.startswith("encoder.layers."):
            continue
        own = "transformer.resblocks." + name.removeprefix("encoder.layers.")
        if ".q_proj." in own:
            three = [named[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            joint = own.replace("self_attn.q_proj.", "attn.in_proj_")
            found[joint] = torch.cat(three)
        elif ".k_proj." not in own and ".v_proj." not in own:
            found[_replaced(own, _OPEN_CLIP)] = tensor
    return found
