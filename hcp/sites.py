"""Where HcP layers go: the cross-attentions of a diffusers U-Net, and how to tell bases apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from hcp.config import HcpConfig, Stage
from storage.errors import CheckpointError

_TOLERANCE = 0.02
"""Change of a fingerprint that rounding a base to bfloat16 (about 0.002) stays far below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One cross-attention that gets an HcP layer."""

    name: str  # module path inside the U-Net
    stage: Stage
    scale: int  # latent px per map px: 1, 2, 4, 8
    text_dim: int
    inner_dim: int

    def map_size(self, latent_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the attention map for latents of this height and width."""
        height, width = latent_size
        return -(-height // self.scale), -(-width // self.scale)


def find_sites(unet: nn.Module, config: HcpConfig) -> tuple[Site, ...]:
    """The cross-attentions of the stages and map scales that ``config`` chooses, in module order.

    Raises:
        ValueError: the U-Net has none there.
    """
    unet = plain(unet)
    found = tuple(
        site
        for site in _all_sites(unet)
        if site.stage in config.stages
        and (config.map_scales is None or site.scale in config.map_scales)
    )
    if not found:
        there = sorted({(site.stage, site.scale) for site in _all_sites(unet)})
        raise ValueError(
            f"no cross-attention at stages {config.stages} and map_scales {config.map_scales}; "
            f"this U-Net has (stage, scale): {there}"
        )
    return found


def plain(unet: nn.Module) -> nn.Module:
    """The U-Net itself, also where ``torch.compile(unet)`` has wrapped it."""
    inner = getattr(unet, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else unet


def attention_at(unet: nn.Module, site: Site) -> Any:
    """The ``Attention`` module of a site (untyped: diffusers has no types for its parts)."""
    return plain(unet).get_submodule(site.name)


def base_fingerprint(unet: nn.Module, sites: Sequence[Site]) -> dict[str, float]:
    """One number per site that tells frozen query weights apart, whatever their float type.

    Weights that accelerate has offloaded are read from where it keeps them.

    Raises:
        CheckpointError: a weight is nowhere in memory.
    """
    return {site.name: _project(_query_weight(unet, site)) for site in sites}


def check_base(
    unet: nn.Module, config: HcpConfig, sites: Sequence[Site], fingerprint: Mapping[str, float]
) -> None:
    """See that the adapter of these sites was made for this U-Net.

    Raises:
        CheckpointError: other layers, other sizes, or other weights; the message says which.
    """
    try:
        here = {site.name: site for site in find_sites(unet, config)}
    except ValueError as error:
        raise CheckpointError(f"the adapter does not fit this base model: {error}") from error
    differences = [
        f"{site.name}: adapter {_size(site)}, base {_size(here.get(site.name))}"
        for site in sites
        if here.get(site.name) != site
    ]
    known = {site.name for site in sites}
    differences += [f"{name}: not in the adapter" for name in here if name not in known]
    if differences:
        raise CheckpointError(
            f"the adapter does not fit this base model in {len(differences)} layers: "
            + "; ".join(differences[:4])
        )
    now = base_fingerprint(unet, sites)
    changed = [n for n, was in fingerprint.items() if abs(now[n] - was) > _TOLERANCE]
    if changed:
        raise CheckpointError(
            f"the adapter was trained on a base model with other weights: {len(changed)} of "
            f"{len(sites)} layers differ, first {changed[0]} (fingerprint {now[changed[0]]:.4f}, "
            f"adapter {fingerprint[changed[0]]:.4f}); any_base=True (--any-base) takes a "
            "fine-tune of that base all the same"
        )


def _all_sites(unet: nn.Module) -> Iterator[Site]:
    scales = _block_scales(unet)
    for name, module in unet.named_modules():
        if not (isinstance(module, Attention) and name.endswith(".attn2")):
            continue
        attn: Any = module
        block = next((prefix for prefix in scales if name.startswith(f"{prefix}.")), None)
        if block is None or not attn.is_cross_attention:
            continue
        stage, scale = scales[block]
        yield Site(
            name=name,
            stage=stage,
            scale=scale,
            text_dim=int(attn.cross_attention_dim),
            inner_dim=int(attn.inner_kv_dim),
        )


def _block_scales(unet: Any) -> dict[str, tuple[Stage, int]]:
    scales: dict[str, tuple[Stage, int]] = {}
    scale = 1
    for i, block in enumerate(unet.down_blocks):
        scales[f"down_blocks.{i}"] = ("down", scale)
        scale *= 1 if getattr(block, "downsamplers", None) is None else 2
    scales["mid_block"] = ("mid", scale)
    for i, block in enumerate(unet.up_blocks):
        scales[f"up_blocks.{i}"] = ("up", scale)
        scale //= 1 if getattr(block, "upsamplers", None) is None else 2
    return scales


def _query_weight(unet: nn.Module, site: Site) -> Tensor:
    to_q = attention_at(unet, site).to_q
    to_q = getattr(to_q, "base_layer", to_q)  # inside peft's LoRA
    if not to_q.weight.is_meta:
        return to_q.weight
    hook = getattr(to_q, "_hf_hook", None)
    for each in getattr(hook, "hooks", (hook,)):
        weights = getattr(each, "weights_map", None)
        if weights is not None:
            return weights["weight"]
    raise CheckpointError(
        f"the base's weight {site.name}.to_q is on the meta device and no accelerate hook holds "
        "it: load the base before attaching HcP"
    )


def _project(weight: Tensor) -> float:
    # A fixed +-1 pattern: the sum is of the order of the weights' norm for any base, and rounding
    # each weight moves it by less than a thousandth of that.
    flat = weight.detach().to("cpu", torch.float64).flatten()
    index = torch.arange(flat.numel(), dtype=torch.int64)
    signs = ((index * 2654435761 >> 15) & 1) * 2 - 1
    return round(float(flat @ signs.to(flat.dtype) / flat.norm().clamp_min(1e-12)), 6)


def _size(site: Site | None) -> str:
    if site is None:
        return "has no such layer"
    return f"{site.text_dim} -> {site.inner_dim} at scale {site.scale}"
