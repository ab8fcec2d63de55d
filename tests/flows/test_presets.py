"""What an adapter of each preset weighs, as published layouts have it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from benchmarks.unets import SIZES
from flows.cli.settings import Given, load_params
from flows.params import TrainParams
from hcp import HcpAdapter, HcpConfig
from hcp.checkpoint import AdapterCard
from hcp.config import Start, Value
from hcp.sites import find_sites


def preset(name: str) -> TrainParams:
    options = {"dataset": "data", "out": "runs", "base": "base"}
    return load_params(TrainParams, Given(options=options, preset=name))


def megabytes(layout: str, config: HcpConfig, *, bytes_each: int) -> float:
    """The weights of an adapter for a published layout, without making any."""
    settings, side, _ = SIZES[layout]
    kind: Any = UNet2DConditionModel
    with torch.device("meta"):
        unet = kind(sample_size=side, **settings)
        card = AdapterCard(config=config, sites=find_sites(unet, config), base_fingerprint={})
        count = HcpAdapter(card).parameter_count()
    return sum(count.values()) * bytes_each / 1e6


@pytest.mark.parametrize(
    ("layout", "trained", "exported"), [("sd15", 118.1, 59.0), ("sdxl", 188.0, 94.0)]
)
def test_a_preset_makes_an_adapter_of_this_size(
    layout: str, trained: float, exported: float
) -> None:
    params = preset(layout)
    assert params.export == "float16"
    assert megabytes(layout, params.training.hcp, bytes_each=4) == pytest.approx(trained, abs=0.1)
    assert megabytes(layout, params.training.hcp, bytes_each=2) == pytest.approx(exported, abs=0.1)
    assert trained < 200


@pytest.mark.parametrize("start", ["flat", "residual"])
@pytest.mark.parametrize("value", ["frozen", "learned", "own", "pixel"])
def test_the_sdxl_preset_s_adapter_is_below_200_mb_with_any_start_value_and_gate(
    start: Start, value: Value
) -> None:
    own = replace(preset("sdxl").training.hcp, start=start, value=value, gate="zero")
    assert preset("sdxl").export == "float16"
    assert megabytes("sdxl", own, bytes_each=2) < 200


def test_without_a_preset_sdxl_is_large() -> None:
    assert megabytes("sdxl", HcpConfig(), bytes_each=4) == pytest.approx(804.6, abs=0.1)
