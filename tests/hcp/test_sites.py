"""The cross-attentions of a U-Net, and how bases are told apart."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from hcp.config import HcpConfig
from hcp.sites import attention_at, base_fingerprint, check_base, find_sites
from storage.errors import CheckpointError


@pytest.fixture
def unet(pipeline: StableDiffusionPipeline) -> UNet2DConditionModel:
    return pipeline.unet


def test_sites_know_their_stage_and_map_size(unet: UNet2DConditionModel) -> None:
    sites = find_sites(unet, HcpConfig(stages=("down", "mid", "up")))
    assert [(s.stage, s.scale, s.inner_dim) for s in sites if s.stage == "down"] == [
        ("down", 1, 16),
        ("down", 2, 32),
    ]
    assert {(s.stage, s.scale) for s in sites} == {
        ("down", 1),
        ("down", 2),
        ("mid", 4),
        ("up", 2),
        ("up", 1),
    }
    chosen = find_sites(unet, HcpConfig(stages=("up",), map_scales=(2,)))
    assert {s.scale for s in chosen} == {2}
    assert chosen[0].map_size((17, 24)) == (9, 12)
    with pytest.raises(ValueError, match=r"down.*this U-Net has"):
        find_sites(unet, HcpConfig(stages=("down",), map_scales=(8,)))


def test_sites_stand_in_module_order_and_name_cross_attentions(unet: UNet2DConditionModel) -> None:
    sites = find_sites(unet, HcpConfig())
    order = [name for name, _ in unet.named_modules()]
    assert [s.name for s in sites] == sorted((s.name for s in sites), key=order.index)
    for site in sites:
        attn = attention_at(unet, site)
        assert (attn.to_k.in_features, attn.to_k.out_features) == (site.text_dim, site.inner_dim)
        assert attn.is_cross_attention


def test_a_fingerprint_survives_rounding_and_no_change(unet: Any) -> None:
    config = HcpConfig()
    sites = find_sites(unet, config)
    before = base_fingerprint(unet, sites)
    assert set(before) == {site.name for site in sites}
    check_base(unet.to(torch.bfloat16), config, sites, before)
    weight = attention_at(unet.to(torch.float32), sites[1]).to_q.weight
    with torch.no_grad():
        weight.copy_(weight.flip(0))
    with pytest.raises(CheckpointError, match=f"1 of {len(sites)} layers") as error:
        check_base(unet, config, sites, before)
    assert sites[1].name in str(error.value)
    check_base(unet, config, sites, {})  # no fingerprint: any weights


def test_layers_that_do_not_fit_are_named(unet: UNet2DConditionModel) -> None:
    config = HcpConfig()
    sites = find_sites(unet, config)
    other = (replace(sites[0], text_dim=768), *sites[1:])
    with pytest.raises(CheckpointError, match=rf"{sites[0].name}: adapter 768 -> .*base 32 -> "):
        check_base(unet, config, other, {})
    with pytest.raises(CheckpointError, match=f"{sites[0].name}: not in the adapter"):
        check_base(unet, config, sites[1:], {})
    nowhere = replace(config, map_scales=(8,))
    with pytest.raises(CheckpointError, match="map_scales"):
        check_base(unet, nowhere, sites, {})
