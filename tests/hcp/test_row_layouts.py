"""Cases C01 to C09: whatever lays a U-Net's rows out, or changes its attentions, in whatever order.

The kinds: guidance with other row layouts, pipelines made from pipelines, other adapters beside
HcP, fused projections, several adapters, several pipelines, clip_skip.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPanoramaPipeline,
    StableDiffusionPipeline,
    StableDiffusionSAGPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    StableDiffusionXLPAGPipeline,
)
from diffusers.models.attention_processor import AttnProcessor2_0, FusedAttnProcessor2_0
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from hcp import HcpAdapter, HcpConfig, attachment
from hcp.tokens import human_token_mask
from tests.hcp.layouts import layout_pipeline, layout_unet
from tests.hcp.test_pipelines import HUMAN, OTHER, draw, loud

NEGATIVE = "a man jumping"


def remade(kind: Any, pipeline: Any, **settings: Any) -> Any:
    """A pipeline of another class with the same parts."""
    if not hasattr(pipeline, "text_encoder_2"):
        settings |= {"requires_safety_checker": False}
    made = kind(**pipeline.components, **settings)
    made.set_progress_bar_config(disable=True)
    return made


def keeps_the_rest_and_changes_people(
    pipeline: Any, **settings: Any
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Properties 5.7 (a) and (b); the human prompt's pictures without and with HcP."""

    def pictures() -> list[NDArray[np.float32]]:
        prompts = ([OTHER], [HUMAN], [OTHER, HUMAN])
        return [
            draw(
                pipeline, p, negative_prompt=[NEGATIVE] * len(p), num_inference_steps=2, **settings
            )
            for p in prompts
        ]

    base = pictures()
    adapter = loud(pipeline).attach(pipeline)
    found = pictures()
    adapter.detach()
    assert np.array_equal(found[0], base[0])
    assert not np.array_equal(found[1], base[1])
    assert np.array_equal(found[2][0], base[2][0])
    assert not np.array_equal(found[2][1], base[2][1])
    for again, first in zip(pictures(), base, strict=True):
        assert np.array_equal(again, first)
    return base[1], found[1]


@pytest.mark.parametrize("guidance", [5.0, 0.0])
@pytest.mark.parametrize("layout", ["sd1", "sdxl"])
def test_c01_perturbed_attention_guidance(
    layout: Any, guidance: float, tiny_tokenizer: CLIPTokenizer
) -> None:
    kind = {"sd1": StableDiffusionPAGPipeline, "sdxl": StableDiffusionXLPAGPipeline}[layout]
    pipeline = remade(kind, layout_pipeline(layout, tiny_tokenizer), pag_applied_layers="mid")
    keeps_the_rest_and_changes_people(pipeline, pag_scale=3.0, guidance_scale=guidance)


def test_c02_self_attention_guidance_leaves_its_negative_calls_alone(
    tiny_tokenizer: CLIPTokenizer,
) -> None:
    parts = layout_pipeline("sd1", tiny_tokenizer)
    pipeline = remade(StableDiffusionSAGPipeline, parts)
    keeps_the_rest_and_changes_people(pipeline, sag_scale=0.75, guidance_scale=5.0)
    keeps_the_rest_and_changes_people(pipeline, sag_scale=0.75, guidance_scale=1.0)


@pytest.mark.parametrize("at_once", [1, 3])
def test_c01_views_of_a_panorama(at_once: int, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = remade(StableDiffusionPanoramaPipeline, layout_pipeline("sd1", tiny_tokenizer))
    for prompt in (OTHER, HUMAN):
        settings = {
            "width": 64, "view_batch_size": at_once, "guidance_scale": 5.0,
            "negative_prompt": NEGATIVE,
        }  # fmt: skip
        base = draw(pipeline, prompt, **settings)
        adapter = loud(pipeline).attach(pipeline)
        assert np.array_equal(draw(pipeline, prompt, **settings), base) == (prompt == OTHER)
        adapter.detach()


def rows_alone(pipeline: Any, order: str) -> Tensor:
    """The U-Net's answer to prompt (p) and negative (n) rows in an order; its own loop."""
    prompt, negative = pipeline.encode_prompt(
        [HUMAN, OTHER], "cpu", 1, True, negative_prompt=[NEGATIVE, HUMAN]
    )
    text = torch.cat([{"p": prompt, "n": negative}[which] for which in order])
    sample = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = pipeline.unet(sample.repeat(len(order), 1, 1, 1), 3, text).sample
    pipeline.maybe_free_model_hooks()
    return found


@pytest.mark.parametrize("order", ["n", "p", "np", "pn", "npp", "pnn", "npnp", "nnp", "pppn"])
def test_c02_a_row_is_what_its_embedding_says_whatever_its_place(
    order: str, tiny_tokenizer: CLIPTokenizer
) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    base = rows_alone(pipeline, order)
    loud(pipeline).attach(pipeline)
    found = rows_alone(pipeline, order)
    changed = [not torch.equal(a, b) for a, b in zip(found, base, strict=True)]
    assert changed == [human for which in order for human in (which == "p", False)]


def test_c02_unknown_rows_are_an_error_never_a_picture(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    loud(pipeline).attach(pipeline)

    def change(_p: Any, _i: int, _t: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return state | {"prompt_embeds": state["prompt_embeds"] * 1.01}

    settings = {
        "num_inference_steps": 2, "callback_on_step_end": change,
        "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"],
    }  # fmt: skip
    for prompt in (HUMAN, OTHER):
        with pytest.raises(ValueError, match=r"row 0 .*2 rows of 16 tokens.*token_mask\(mask\)"):
            draw(pipeline, prompt, **settings)


def test_c02_a_prompt_that_is_its_own_negative(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    base = draw(pipeline, HUMAN, negative_prompt=HUMAN)
    loud(pipeline).attach(pipeline)
    assert not np.array_equal(draw(pipeline, HUMAN, negative_prompt=HUMAN), base)
    sag = remade(StableDiffusionSAGPipeline, pipeline)
    with pytest.raises(ValueError, match="same text embeddings"):
        draw(sag, HUMAN, negative_prompt=HUMAN, sag_scale=0.5)
    draw(sag, OTHER, negative_prompt=OTHER, sag_scale=0.5)  # no human words: no matter which


@pytest.mark.parametrize("layout", ["sd1", "sdxl"])
def test_c02_instruct_pix2pix_puts_its_prompts_first(
    layout: Any, tiny_tokenizer: CLIPTokenizer
) -> None:
    parts = layout_pipeline(layout, tiny_tokenizer)
    parts.unet = layout_unet(layout, in_channels=8)
    if layout == "sd1":  # which has no encode_prompt
        pipeline = remade(StableDiffusionInstructPix2PixPipeline, parts)
    else:
        pipeline = StableDiffusionXLInstructPix2PixPipeline.from_pipe(parts)
        pipeline.set_progress_bar_config(disable=True)
    settings: dict[str, Any] = {"image": Image.new("RGB", (16, 16), "teal"), "guidance_scale": 5.0}

    def drawn(prompt: str, negative: str) -> NDArray[np.float32]:
        return pipeline(
            prompt, negative_prompt=negative, generator=torch.Generator().manual_seed(7),
            num_inference_steps=2, output_type="np", **settings,
        ).images  # fmt: skip

    base = {prompt: drawn(prompt, NEGATIVE) for prompt in (OTHER, HUMAN)}
    adapter = loud(pipeline).attach(pipeline)
    assert np.array_equal(drawn(OTHER, NEGATIVE), base[OTHER])
    assert not np.array_equal(drawn(HUMAN, NEGATIVE), base[HUMAN])
    with pytest.raises(ValueError, match="same text embeddings"):
        drawn(HUMAN, HUMAN)
    adapter.detach()
    assert np.array_equal(drawn(HUMAN, NEGATIVE), base[HUMAN])


PHOTO = Image.new("RGB", (16, 16), "teal")
SIZED = {"height": 16, "width": 16}
MADE: dict[str, tuple[Callable[[Any], Any], dict[str, Any]]] = {
    "image_to_image": (AutoPipelineForImage2Image.from_pipe, {"image": PHOTO, "strength": 1.0}),
    "inpainting": (
        AutoPipelineForInpainting.from_pipe,
        {"image": PHOTO, "mask_image": Image.new("L", (16, 16), 255), "strength": 1.0, **SIZED},
    ),
    "sag": (StableDiffusionSAGPipeline.from_pipe, {"sag_scale": 0.5, **SIZED}),
    "parts": (
        lambda p: remade(StableDiffusionImg2ImgPipeline, p),
        {"image": PHOTO, "strength": 1.0},
    ),
    "same_kind": (lambda p: remade(StableDiffusionPipeline, p), SIZED),
}


@pytest.mark.parametrize("how", MADE)
def test_c03_pipelines_made_from_an_attached_one_draw_with_it(
    how: str, tiny_tokenizer: CLIPTokenizer
) -> None:
    make, inputs = MADE[how]
    pipeline = layout_pipeline("sd1", tiny_tokenizer)

    def drawn(maker: Any) -> list[NDArray[np.float32]]:
        maker.set_progress_bar_config(disable=True)
        return [
            maker(prompt, generator=torch.Generator().manual_seed(7), output_type="np",
                  num_inference_steps=2, **inputs).images
            for prompt in (OTHER, HUMAN)
        ]  # fmt: skip

    base = drawn(make(pipeline))
    adapter = loud(pipeline).attach(pipeline)
    made = make(pipeline)
    found = drawn(made)
    assert adapter.is_attached(made)
    assert np.array_equal(found[0], base[0])
    assert not np.array_equal(found[1], base[1])
    assert all(np.array_equal(*pair) for pair in zip(drawn(make(made)), found, strict=True))
    adapter.detach()
    assert not adapter.is_attached(made)
    assert "encode_prompt" not in made.__dict__
    assert all(np.array_equal(*pair) for pair in zip(drawn(made), base, strict=True))
    assert all(np.array_equal(*pair) for pair in zip(drawn(make(pipeline)), base, strict=True))


def test_c03_a_pipeline_made_before_is_named_and_can_be_attached(
    tiny_tokenizer: CLIPTokenizer,
) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    other = remade(StableDiffusionPipeline, pipeline)
    base = draw(other, HUMAN)
    adapter = loud(pipeline).attach(pipeline)
    with pytest.raises(ValueError, match=r"adapter\.attach\(that_pipeline\)"):
        draw(other, HUMAN)
    adapter.attach(other)
    assert np.array_equal(draw(other, HUMAN), draw(pipeline, HUMAN))
    adapter.detach(other)
    assert not np.array_equal(draw(pipeline, HUMAN), base)
    adapter.detach(pipeline)
    assert np.array_equal(draw(other, HUMAN), base)
    assert {type(p) for p in pipeline.unet.attn_processors.values()} == {AttnProcessor2_0}


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


def second(pipeline: Any, **config: Any) -> HcpAdapter:
    """Another loud adapter, at other sites."""
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=8, **config))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return adapter


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [{}, {"stages": ("down", "mid")}, {"start": "residual"}])
def test_c05_several_adapters_add_their_terms_each_with_its_strength(
    config: dict[str, Any], dtype: torch.dtype, tiny_tokenizer: CLIPTokenizer
) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    pipeline.to(dtype)
    base, other = draw(pipeline, HUMAN), draw(pipeline, [OTHER, HUMAN])
    one, two = loud(pipeline), second(pipeline, **config)
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


IP_TOKENS = 4


def load_ip_adapter(pipeline: Any) -> None:
    """An IP-Adapter with random weights, as ``pipeline.load_ip_adapter`` loads one."""
    generator = torch.Generator().manual_seed(3)

    def weight(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    unet = pipeline.unet
    text = int(unet.config.cross_attention_dim)
    names = list(unet.attn_processors)
    layers: dict[str, Tensor] = {}
    for number, name in enumerate(names):
        if name.endswith("attn2.processor"):
            inner = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
            layers[f"{number}.to_k_ip.weight"] = weight(inner, text)
            layers[f"{number}.to_v_ip.weight"] = weight(inner, text)
    image = {"proj.weight": weight(IP_TOKENS * text, 8), "proj.bias": weight(IP_TOKENS * text),
             "norm.weight": weight(text), "norm.bias": weight(text)}  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, projection_dim=8, num_hidden_layers=1,
        num_attention_heads=2, image_size=8, patch_size=4,
    )  # fmt: skip
    torch.manual_seed(4)
    pipeline.register_modules(
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        feature_extractor=CLIPImageProcessor(
            size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}
        ),
    )
    unet._load_ip_adapter_weights([{"image_proj": image, "ip_adapter": layers}])
    unet.requires_grad_(requires_grad=False)


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


@pytest.mark.parametrize("skip", [None, 0, 1])
def test_c07_clip_skip(skip: int | None, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    adapter = loud(pipeline)
    adapter.strength = 0.0
    adapter.attach(pipeline)
    base = {prompt: draw(pipeline, prompt, clip_skip=skip) for prompt in (OTHER, HUMAN)}
    adapter.strength = 1.0
    assert np.array_equal(draw(pipeline, OTHER, clip_skip=skip), base[OTHER])
    assert not np.array_equal(draw(pipeline, HUMAN, clip_skip=skip), base[HUMAN])
    if skip:
        assert not np.array_equal(draw(pipeline, OTHER), base[OTHER])
    assert "text_model" not in vars(pipeline.text_encoder)


def test_c09_one_adapter_on_two_pipelines(tiny_tokenizer: CLIPTokenizer) -> None:
    first, other = (layout_pipeline("sd1", tiny_tokenizer) for _ in range(2))
    other.scheduler = DDIMScheduler.from_config(first.scheduler.config)
    base = draw(first, HUMAN)
    adapter = loud(first).attach(first)
    adapter.attach(other)
    full = draw(first, HUMAN)
    assert np.array_equal(draw(other, HUMAN), full)
    adapter.strength = 0.5
    half = draw(first, HUMAN)
    assert np.array_equal(draw(other, HUMAN), half)
    adapter.detach(first)
    assert np.array_equal(draw(first, HUMAN), base)
    assert np.array_equal(draw(other, HUMAN), half)
    assert adapter.pipeline is other
    adapter.detach()
    assert np.array_equal(draw(other, HUMAN), base)
    assert adapter.pipeline is None


def test_c03_diffusers_is_as_it_was_once_nobody_is_attached(
    tiny_tokenizer: CLIPTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Adapters that other tests left attached are nobody here.
    wrapped: Any = DiffusionPipeline.register_modules
    before = getattr(wrapped, "_before_hcp", wrapped)
    monkeypatch.setattr(attachment, "_followers", WeakSet())
    monkeypatch.setattr(DiffusionPipeline, "register_modules", before)
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    one, two = loud(pipeline).attach(pipeline), second(pipeline).attach(pipeline)
    assert DiffusionPipeline.register_modules is not before
    one.detach()
    assert two.is_attached(remade(StableDiffusionPipeline, pipeline))
    assert not one.is_attached(pipeline)
    two.detach()
    assert DiffusionPipeline.register_modules is before


def test_c03_what_replaces_hcp_during_a_call_is_named(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    loud(pipeline).attach(pipeline)

    def replace(_p: Any, _i: int, _t: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
        pipeline.unet.set_attn_processor(AttnProcessor2_0())
        return state

    with pytest.raises(ValueError, match=r"was replaced at .* by AttnProcessor2_0"):
        draw(pipeline, HUMAN, callback_on_step_end=replace)
    draw(pipeline, HUMAN)  # and the next call stands beside it
