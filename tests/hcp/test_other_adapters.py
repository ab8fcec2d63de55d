"""Cases C04, C05, C06: fused projections, several adapters, and others' adapters beside HcP."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor2_0, FusedAttnProcessor2_0
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from hcp import HcpAdapter
from hcp.tokens import human_token_mask
from tests.hcp.layouts import layout_pipeline
from tests.hcp.loud_adapters import HUMAN, OTHER, PHOTO, draw, load_ip_adapter, loud


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("layout", ["sd1", "sdxl"])
def test_c04_fused_projections(layout: Any, when: str, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    adapter = loud(pipeline).attach(pipeline)
    plain, plain_other = draw(pipeline, HUMAN), draw(pipeline, OTHER)
    if when == "before":
        adapter.detach()
        pipeline.fuse_qkv_projections(vae=False)
        adapter.attach(pipeline)
    else:
        pipeline.fuse_qkv_projections(vae=False)
    assert np.allclose(draw(pipeline, HUMAN), plain, atol=1e-4)
    assert np.allclose(draw(pipeline, OTHER), plain_other, atol=1e-4)
    fused = draw(pipeline, OTHER)
    pipeline.unfuse_qkv_projections(vae=False)
    assert np.allclose(draw(pipeline, HUMAN), plain, atol=1e-4)
    adapter.detach()
    assert {type(p) for p in pipeline.unet.attn_processors.values()} == {AttnProcessor2_0}
    assert np.array_equal(draw(pipeline, OTHER), plain_other)
    pipeline.fuse_qkv_projections(vae=False)
    assert {type(p) for p in pipeline.unet.attn_processors.values()} == {FusedAttnProcessor2_0}
    assert np.array_equal(draw(pipeline, OTHER), fused)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [{}, {"stages": ("down", "mid")}, {"start": "residual"}])
def test_c05_several_adapters_add_their_terms_each_with_its_strength(
    config: dict[str, Any], dtype: torch.dtype, tiny_tokenizer: CLIPTokenizer
) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    pipeline.to(dtype)
    base, other = draw(pipeline, HUMAN), draw(pipeline, [OTHER, HUMAN])
    one, two = loud(pipeline), loud(pipeline, seed=5, **config)
    alone = [draw_with(adapter, pipeline) for adapter in (one, two)]
    one.attach(pipeline)
    two.attach(pipeline)
    both = draw(pipeline, HUMAN)
    assert not any(np.array_equal(both, picture) for picture in (base, *alone))
    assert np.array_equal(draw(pipeline, [OTHER, HUMAN])[0], other[0])
    with one.at_strength(0.0):
        assert np.array_equal(draw(pipeline, HUMAN), alone[1])
        with two.at_strength(0.0):
            assert np.array_equal(draw(pipeline, HUMAN), base)
    with two.at_strength(0.0):
        assert np.array_equal(draw(pipeline, HUMAN), alone[0])
    one.detach()  # the first first: no order is needed
    assert np.array_equal(draw(pipeline, HUMAN), alone[1])
    one.attach(pipeline)
    if dtype == torch.float32:
        assert np.allclose(draw(pipeline, HUMAN), both, atol=1e-5)
    two.detach()
    assert np.array_equal(draw(pipeline, HUMAN), alone[0])
    one.detach()
    assert "encode_prompt" not in pipeline.__dict__
    assert {type(p) for p in pipeline.unet.attn_processors.values()} == {AttnProcessor2_0}
    assert np.array_equal(draw(pipeline, HUMAN), base)


def draw_with(adapter: HcpAdapter, pipeline: Any) -> NDArray[np.float32]:
    adapter.attach(pipeline)
    picture = draw(pipeline, HUMAN)
    adapter.detach()
    return picture


def test_c05_the_same_adapter_twice_is_one_of_double_strength(
    tiny_tokenizer: CLIPTokenizer,
) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    one, same = loud(pipeline), loud(pipeline)
    one.strength = 0.5
    half = draw_with(one, pipeline)
    one.strength = same.strength = 0.25
    one.attach(pipeline)
    same.attach(pipeline)
    assert np.allclose(draw(pipeline, HUMAN), half, atol=1e-5)
    mask = human_token_mask(pipeline.tokenizer, [HUMAN])
    with one.token_mask(mask), same.token_mask(torch.zeros_like(mask)):  # each has its own
        found = draw(pipeline, HUMAN)
    same.detach()
    assert np.array_equal(found, draw(pipeline, HUMAN))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("layout", ["sd1", "sdxl"])
def test_c06_ip_adapter_beside_hcp(layout: Any, when: str, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    adapter = loud(pipeline)
    if when == "after":
        adapter.attach(pipeline)
        load_ip_adapter(pipeline)
        adapter.detach()
    else:
        load_ip_adapter(pipeline)

    def drawn(prompt: Any, scale: float) -> NDArray[np.float32]:
        pipeline.set_ip_adapter_scale(scale)
        return draw(pipeline, prompt, ip_adapter_image=PHOTO)

    base = {scale: drawn(OTHER, scale) for scale in (0.0, 0.6)}
    base_human = {scale: drawn(HUMAN, scale) for scale in (0.0, 0.6)}
    keys = set(pipeline.unet.state_dict())
    adapter.attach(pipeline)
    assert set(pipeline.unet.state_dict()) == keys
    for scale, picture in base.items():  # set_ip_adapter_scale finds its processors
        assert np.array_equal(drawn(OTHER, scale), picture)
        assert not np.array_equal(drawn(HUMAN, scale), base_human[scale])
    pair = drawn([OTHER, HUMAN], 0.6)
    with adapter.at_strength(0.0):
        assert np.array_equal(drawn(HUMAN, 0.6), base_human[0.6])
        assert np.array_equal(drawn([OTHER, HUMAN], 0.6)[0], pair[0])
    adapter.detach()
    assert np.array_equal(drawn(HUMAN, 0.6), base_human[0.6])
    adapter.attach(pipeline)
    pipeline.unload_ip_adapter()
    with_hcp = draw(pipeline, HUMAN)
    adapter.detach()
    assert not np.array_equal(with_hcp, draw(pipeline, HUMAN))
    fresh = layout_pipeline(layout, tiny_tokenizer)
    loud(fresh).attach(fresh)
    assert np.array_equal(draw(fresh, HUMAN), with_hcp)
