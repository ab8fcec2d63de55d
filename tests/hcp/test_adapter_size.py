"""What an adapter weighs: of the real layouts as numbers, and in half precision as pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTokenizer

from benchmarks.unets import SIZES
from flows.cli.settings import Given, load_params
from flows.params import TrainParams
from hcp import HcpAdapter, HcpConfig
from hcp.checkpoint import WEIGHTS, AdapterCard
from hcp.config import Start, Value
from hcp.sites import find_sites
from tests.hcp.layouts import LAYOUTS, Layout, layout_pipeline
from tests.hcp.loud_adapters import HUMAN, OTHER, draw, loud


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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_saved_in_half_precision_it_draws_the_same_picture_but_for_rounding(
    layout: Layout, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    base = draw(pipeline, HUMAN)
    adapter = loud(pipeline).attach(pipeline)
    full, other = draw(pipeline, HUMAN), draw(pipeline, OTHER)
    adapter.detach()
    adapter.save_pretrained(tmp_path / "full")
    count = sum(p.numel() for p in adapter.parameters())
    for dtype, noise in ((torch.float16, 0.01), (torch.bfloat16, 0.08)):
        adapter.save_pretrained(tmp_path / "half", dtype=dtype)
        sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("half", "full")]
        assert sizes[1] - sizes[0] == pytest.approx(2 * count, rel=0.02)  # the header stays
        loaded = HcpAdapter.from_pretrained(tmp_path / "half")
        assert {p.dtype for p in loaded.parameters()} == {torch.float32}
        loaded.attach(pipeline)
        apart = np.abs(draw(pipeline, HUMAN) - full).mean()
        assert 0 < apart < noise * np.abs(full - base).mean()
        assert np.array_equal(draw(pipeline, OTHER), other)
        loaded.detach()
        assert {p.dtype for p in adapter.parameters()} == {torch.float32}  # saving changes nothing


def test_it_loads_in_the_dtype_that_is_wanted(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    loud(pipeline).save_pretrained(tmp_path / "a")
    loaded = HcpAdapter.from_pretrained(tmp_path / "a", dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.parameters()} == {torch.bfloat16}
    pipeline.to(torch.bfloat16)
    loaded.attach(pipeline)
    assert np.isfinite(draw(pipeline, HUMAN)).all()
