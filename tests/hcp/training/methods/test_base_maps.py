"""The base's own maps of the human tokens."""

import torch
from diffusers import StableDiffusionPipeline

from hcp.attention import attention_probs, split_heads
from hcp.config import HcpConfig
from hcp.sites import attention_at, find_sites
from hcp.training.methods.base_maps import BaseMaps


def test_the_base_s_maps_are_the_columns_of_its_attention(
    pipeline: StableDiffusionPipeline,
) -> None:
    unet = pipeline.unet
    sites = find_sites(unet, HcpConfig())
    base_maps = BaseMaps(unet, sites)
    kinds = torch.zeros(2, 16, dtype=torch.int64)
    kinds[0, 2], kinds[0, 5] = 1, 2  # the second row has no human word
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(2, 16, 32, generator=generator)
    latents = torch.randn(2, 4, 16, 16, generator=generator)
    seen: dict[str, torch.Tensor] = {}
    up = next(site for site in sites if site.stage == "up")
    attn = attention_at(unet, up)
    handles = [
        getattr(attn, name).register_forward_hook(
            lambda _m, _a, out, name=name: seen.__setitem__(name, out)
        )
        for name in ("to_q", "to_k")
    ]
    with base_maps.tokens(kinds > 0, kinds=kinds, record=("up",)):
        unet(latents, 400, encoder_hidden_states=text)
        maps = base_maps.maps((16, 16))
        valid = base_maps.selection().valid
    for handle in handles:
        handle.remove()
    assert {layer.stage for layer in maps} == {"up"}
    whole = attention_probs(
        split_heads(seen["to_q"], attn.heads), split_heads(seen["to_k"], attn.heads)
    ).mean(dim=1)
    found = next(layer.attn_map for layer in maps if layer.site == up.name)
    torch.testing.assert_close(found[0], whole[0][:, [2, 5]])
    assert not found[1].any()
    assert valid.tolist() == [[True, True], [False, False]]
    assert not attn.to_q._forward_hooks
    assert not attn.to_k._forward_hooks


def test_without_human_words_nothing_is_recorded(pipeline: StableDiffusionPipeline) -> None:
    base_maps = BaseMaps(pipeline.unet, find_sites(pipeline.unet, HcpConfig()))
    kinds = torch.zeros(1, 16, dtype=torch.int64)
    with base_maps.tokens(kinds > 0, kinds=kinds, record=("mid", "up")):
        text = torch.zeros(1, 16, 32)
        pipeline.unet(torch.zeros(1, 4, 16, 16), 1, encoder_hidden_states=text)
        assert base_maps.maps((16, 16)) == []
