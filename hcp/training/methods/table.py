"""The one table of methods: from a name to what it trains."""

from collections.abc import Callable, Mapping

from hcp.base import BasePipeline
from hcp.training.config import TrainConfig
from hcp.training.methods.hcp_layers import HcpMethod
from hcp.training.methods.names import split_method
from hcp.training.methods.protocol import Method

MAKERS: Mapping[str, Callable[[BasePipeline, TrainConfig, str | None], Method]] = {
    "hcp": lambda pipeline, config, base: HcpMethod(pipeline, config, base_model=base),
}
"""By the names of ``hcp.training.methods.names.METHODS``."""


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
    """
    name, _ = split_method(config.method)
    if name not in MAKERS:
        raise ValueError(f"method {name!r} is not there yet")
    return MAKERS[name](pipeline, config, base_model)
