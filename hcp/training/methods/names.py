"""Names and settings of the methods, as ``TrainConfig`` has them; no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from hcp.config import HCP_VARIANTS, HcpConfig

METHODS: Mapping[str, str] = {
    "hcp": "HcP layers with the denoising and the alignment loss: the paper",
    "lora": "LoRA in the attentions, denoising loss",
    "attention": "LoRA, and the alignment loss on the base's own maps (TokenCompose's idea)",
    "region": "LoRA, and a denoising loss that weights people by their masks",
    "full": "the U-Net's own weights, denoising loss",
}
"""Every method, with one line for people."""

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "hcp": tuple(HCP_VARIANTS),
    "lora": (),
    "attention": ("full",),  # the U-Net's own weights train in place of LoRA
    "region": ("full",),
    "full": (),
}
"""What may follow each method after a ``+``."""

NEEDS_PEOPLE = ("hcp", "attention", "region")
"""Methods that learn from people whom a caption names; the others learn from any photo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """LoRA matrices of the methods that train them."""

    rank: int = 16  # of the two factors
    alpha: float | None = None  # the update is scaled by alpha / rank; None: the rank, so by 1
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")  # ends of the layers' names
    init_seed: int = 0  # of the first factor

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"LoraConfig.rank must be >= 1, got {self.rank}")
        if not (isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"LoraConfig.alpha must be finite and > 0, got {self.alpha}")
        if not self.targets or not all(self.targets):
            raise ValueError(f"LoraConfig.targets needs one or more names, got {self.targets}")

    @property
    def scale(self) -> float:
        """What the update is multiplied by."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionConfig:
    """How much more people count in the denoising loss of ``region``; only the ratio matters."""

    inside: float = 3.0  # weight inside the person masks
    outside: float = 1.0  # weight outside them

    def __post_init__(self) -> None:
        weights = (self.inside, self.outside)
        if not all(isfinite(w) and w >= 0 for w in weights) or not any(weights):
            raise ValueError(
                "RegionConfig.inside and outside must be finite and >= 0, and not both 0, got "
                f"{self.inside} and {self.outside}"
            )


def split_method(method: str) -> tuple[str, tuple[str, ...]]:
    """``hcp+value+gate`` as ("hcp", ("value", "gate")).

    Raises:
        ValueError: no such method, or no such variant of it; the message lists what there is.
    """
    name, *suffixes = method.split("+")
    if name not in METHODS:
        raise ValueError(f"unknown method {method!r}: there are {', '.join(METHODS)}")
    wrong = [suffix for suffix in suffixes if suffix not in VARIANTS[name]]
    if wrong:
        there = ", ".join(f"+{variant}" for variant in VARIANTS[name]) or "none"
        raise ValueError(
            f"method {method!r}: {name} has no variant {wrong[0]!r}; there are: {there}"
        )
    values = [suffix for suffix in suffixes if "value" in HCP_VARIANTS.get(suffix, {})]
    if len(set(values)) > 1:
        raise ValueError(
            f"method {method!r}: expected one of {', '.join(map(repr, values))}: each says what "
            "the value of the human term is"
        )
    return name, tuple(suffixes)


def trains_unet(method: str) -> bool:
    """Whether the U-Net's own weights train, and not layers beside them."""
    name, suffixes = split_method(method)
    return name == "full" or "full" in suffixes


def with_variants(config: HcpConfig, method: str) -> HcpConfig:
    """The HcP settings with what the method's suffixes say; they win over the fields."""
    name, suffixes = split_method(method)
    if name != "hcp":
        return config
    changes: dict[str, Any] = {}
    for suffix in suffixes:
        changes |= HCP_VARIANTS[suffix]
    return replace(config, **changes)
