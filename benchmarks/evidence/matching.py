"""As many trained parameters for every method, as nearly as its width or rank allows."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import ceil, floor, sqrt
from typing import Any

import numpy as np

from hcp import HcpAdapter
from hcp.base import BasePipeline
from hcp.training.config import TrainConfig
from hcp.training.methods.lora import LoraWeights
from hcp.training.methods.names import split_method, trains_unet


def trained_parameters(pipeline: BasePipeline, config: TrainConfig) -> int:
    """How many parameters a method trains in this base."""
    config = config.plain()
    if trains_unet(config.method):
        return sum(parameter.numel() for parameter in pipeline.unet.parameters())
    if split_method(config.method)[0] == "hcp":
        adapter = HcpAdapter.create(pipeline.unet, config.hcp)
        return sum(adapter.parameter_count().values())
    weights = LoraWeights(pipeline.unet, config.lora)
    try:
        return sum(parameter.numel() for _, parameter in weights.named_parameters())
    finally:
        weights.remove()


def matched(pipeline: BasePipeline, config: TrainConfig, budget: int) -> Mapping[str, Any]:
    """The width or rank, as fields of TrainConfig, that comes nearest to a number of parameters.

    Raises:
        ValueError: the method has neither.
    """
    if trains_unet(config.method):
        raise ValueError(f"matched: {config.method} has no width and no rank")

    if split_method(config.method)[0] == "hcp":

        def of_width(width: int) -> int:
            hcp = replace(config.hcp, width=width)
            return trained_parameters(pipeline, replace(config, hcp=hcp))

        return {"hcp": {"width": _nearest(of_width, budget)}}

    def of_rank(rank: int) -> int:
        lora = replace(config.lora, rank=rank)
        return trained_parameters(pipeline, replace(config, lora=lora))

    return {"lora": {"rank": _nearest(of_rank, budget)}}


def _nearest(count: Callable[[int], int], budget: int) -> int:
    """The size whose count, a polynomial of degree two or less, is nearest to the budget."""
    a, b, c = np.linalg.solve([[s * s, s, 1] for s in (1, 2, 3)], [count(s) for s in (1, 2, 3)])
    a = 0.0 if abs(a) < 1e-6 else float(a)  # of a rank
    rest = budget - float(c)
    size = rest / float(b) if a == 0 else (-b + sqrt(max(b * b + 4 * a * rest, 0.0))) / (2 * a)
    sizes = {max(1, floor(size)), max(1, ceil(size))}
    return min(sorted(sizes), key=lambda each: abs(count(each) - budget))
