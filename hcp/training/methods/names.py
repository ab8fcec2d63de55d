"""Names of the methods, as ``TrainConfig.method`` has them; no torch."""

from collections.abc import Mapping
from dataclasses import replace

from hcp.config import HcpConfig

METHODS: Mapping[str, str] = {
    "hcp": "HcP layers with the denoising and the alignment loss: the paper",
    "lora": "LoRA in the attentions, denoising loss",
    "attention": "LoRA, and the alignment loss on the base's own maps (TokenCompose's idea)",
    "region": "LoRA, and a denoising loss that weights people by their masks",
    "full": "the U-Net's own weights, denoising loss",
}
"""Every method, with one line for people."""

VARIANTS: Mapping[str, Mapping[str, str]] = {
    "residual": {"start": "residual"},
    "value": {"value": "learned"},
    "gate": {"gate": "zero"},
}
"""What may follow ``hcp+``: the fields of ``HcpConfig`` that it sets."""


def split_method(method: str) -> tuple[str, tuple[str, ...]]:
    """``hcp+value+gate`` as ("hcp", ("value", "gate")).

    Raises:
        ValueError: no such method, or no such variant of it; the message lists what there is.
    """
    name, *suffixes = method.split("+")
    if name not in METHODS:
        raise ValueError(f"unknown method {method!r}: there are {', '.join(METHODS)}")
    known = VARIANTS if name == "hcp" else {}
    wrong = [suffix for suffix in suffixes if suffix not in known]
    if wrong:
        there = f"hcp has {', '.join(f'+{variant}' for variant in VARIANTS)}"
        raise ValueError(f"method {method!r}: {name} has no variant {wrong[0]!r}; {there}")
    return name, tuple(suffixes)


def with_variants(config: HcpConfig, method: str) -> HcpConfig:
    """The HcP settings with what the method's suffixes say; they win over the fields."""
    fields: dict[str, str] = {}
    for suffix in split_method(method)[1]:
        fields |= VARIANTS[suffix]
    changes: dict[str, object] = dict(fields)
    return replace(config, **changes)
