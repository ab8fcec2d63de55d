"""The one table of methods: from a name to what it trains and loses."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from hcp.base import BasePipeline
from hcp.training.config import TrainConfig
from hcp.training.methods.hcp_layers import HcpMethod
from hcp.training.methods.lora import LoraWeights
from hcp.training.methods.names import split_method, trains_unet
from hcp.training.methods.objectives import AlignedBase, Denoising, Objective, WeightedPeople
from hcp.training.methods.protocol import Method
from hcp.training.methods.unet_method import UnetMethod, Weights, new_card
from hcp.training.methods.unet_weights import UnetWeights

OBJECTIVES: Mapping[str, Callable[[BasePipeline, TrainConfig], Objective]] = {
    "lora": lambda pipeline, config: Denoising(),
    "attention": AlignedBase,
    "region": lambda pipeline, config: WeightedPeople(config.region),
    "full": lambda pipeline, config: Denoising(),
}
"""Of the methods that train weights inside the U-Net; ``hcp`` has layers of its own."""


def make_method(
    pipeline: BasePipeline, config: TrainConfig, *, base_model: str | None = None
) -> Method:
    """Put the method of ``config.method`` into a frozen pipeline.

    Args:
        pipeline: the base; nothing in it requires gradients.
        config: settled by ``TrainConfig.resolved``.
        base_model: id or directory of the base, for people.
    Raises:
        ValueError: the base has no place for what the method trains.
        WeightsError: the resnet50 prior is wanted and its weights cannot be had.
        MissingExtraError: the method needs peft, which is not installed.
    """
    name, _ = split_method(config.method)
    if name == "hcp":
        return HcpMethod(pipeline, config, base_model=base_model)
    card = new_card(pipeline, config.method, method_settings(config), base_model=base_model)
    objective = OBJECTIVES[name](pipeline, config)
    whole = trains_unet(config.method)
    weights: Weights
    weights = UnetWeights(pipeline.unet) if whole else LoraWeights(pipeline.unet, config.lora)
    return UnetMethod(pipeline.unet, card, weights, objective)


def method_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings that make the method what it is, for its card; a resume needs the same."""
    name, _ = split_method(config.method)
    found: dict[str, Any] = {} if trains_unet(config.method) else {"lora": asdict(config.lora)}
    if name == "attention":
        found["alignment"] = asdict(config.hcp.alignment)
        found["layers"] = {"stages": config.hcp.stages, "map_scales": config.hcp.map_scales}
    if name == "region":
        found["region"] = asdict(config.region)
    return found
