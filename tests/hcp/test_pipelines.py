"""Every supported pipeline: prompts without human words are bit-equal, human ones change."""

from typing import Any

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers.models.attention_processor import AttnProcessor, SlicedAttnProcessor
from numpy.typing import NDArray
from peft import LoraConfig
from transformers import CLIPTokenizer

from hcp import HcpAdapter, HcpConfig
from hcp.tokens import human_token_mask
from storage.errors import CheckpointError
from tests.hcp.layouts import LAYOUTS, TASKS, Layout, layout_pipeline, task_inputs
from tests.hcp.loud_adapters import HUMAN, OTHER, draw, loud


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_people_change_and_all_else_keeps_every_bit(
    layout: Layout, task: str, tiny_tokenizer: CLIPTokenizer
) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer, task)

    def pictures() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        inputs = {"num_inference_steps": 1, "output_type": "np"}
        alone = pipeline(
            OTHER, generator=torch.Generator().manual_seed(1), **inputs, **task_inputs(task, rows=1)
        ).images
        batch = pipeline(
            [OTHER, HUMAN],
            negative_prompt=["a man jumping", "blurry"],
            num_images_per_prompt=2,
            guidance_scale=5.0,
            generator=torch.Generator().manual_seed(2),
            **inputs,
            **task_inputs(task, rows=2),
        ).images
        return alone, batch

    alone, batch = pictures()
    adapter = loud(pipeline).attach(pipeline)
    alone_with, batch_with = pictures()
    adapter.detach()
    assert np.isfinite(batch_with).all()
    assert np.array_equal(alone_with, alone)
    same = [np.array_equal(a, b) for a, b in zip(batch_with, batch, strict=True)]
    assert same == [True, True, False, False]


@pytest.fixture(params=["sd1", "sdxl"])
def pipeline(request: pytest.FixtureRequest, tiny_tokenizer: CLIPTokenizer) -> Any:
    """A fresh text-to-image pipeline."""
    return layout_pipeline(request.param, tiny_tokenizer)


def test_ready_made_embeddings_need_the_token_mask(pipeline: Any) -> None:
    base = draw(pipeline, HUMAN)
    adapter = loud(pipeline).attach(pipeline)
    expected = draw(pipeline, HUMAN)
    encoded = pipeline.encode_prompt(
        prompt=HUMAN, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds",
             "negative_pooled_prompt_embeds")  # fmt: skip
    ready = dict(zip(names, encoded, strict=False))
    with pytest.raises(ValueError, match="token_mask"):
        draw(pipeline, None, **ready)
    mask = human_token_mask(pipeline.tokenizer, [HUMAN])
    with adapter.token_mask(mask):
        assert np.array_equal(draw(pipeline, None, **ready), expected)
    for wrong in (mask[:, :-1], mask.repeat(3, 1)):
        with adapter.token_mask(wrong), pytest.raises(ValueError, match="token mask is for"):
            draw(pipeline, None, **ready)
    with adapter.token_mask(torch.zeros_like(mask)):
        assert np.array_equal(draw(pipeline, None, **ready), base)
        assert np.array_equal(draw(pipeline, HUMAN), base)
    assert np.array_equal(draw(pipeline, HUMAN), expected)
    with pytest.raises(ValueError, match="prompts, tokens"), adapter.token_mask(mask[0]):
        pass


def test_lora_beside_it(pipeline: Any) -> None:
    torch.manual_seed(5)
    pipeline.unet.add_adapter(
        LoraConfig(
            r=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"], init_lora_weights=False
        )
    )
    lora, lora_human = draw(pipeline, OTHER), draw(pipeline, HUMAN)
    adapter = loud(pipeline).attach(pipeline)
    assert np.array_equal(draw(pipeline, OTHER), lora)
    with_both = draw(pipeline, HUMAN)
    assert not np.array_equal(with_both, lora_human)
    adapter.detach()
    pipeline.unet.disable_adapters()
    assert not np.array_equal(draw(pipeline, OTHER), lora)


@pytest.mark.parametrize("when", ["before", "after"])
def test_attention_slicing(pipeline: Any, when: str) -> None:
    adapter = loud(pipeline).attach(pipeline)
    plain = draw(pipeline, HUMAN)
    adapter.detach()
    pipeline.enable_attention_slicing(1)
    base = draw(pipeline, [OTHER, HUMAN])
    if when == "after":
        pipeline.disable_attention_slicing()
    adapter.attach(pipeline)
    pipeline.enable_attention_slicing(1)
    found = draw(pipeline, [OTHER, HUMAN])
    assert np.array_equal(found[0], base[0])
    assert not np.array_equal(found[1], base[1])
    assert np.allclose(draw(pipeline, HUMAN), plain, atol=1e-4)
    adapter.detach()
    kinds = {type(p) for p in pipeline.unet.attn_processors.values()}
    assert kinds == {SlicedAttnProcessor}
    assert np.array_equal(draw(pipeline, [OTHER, HUMAN]), base)


def test_attention_without_fused_kernels(pipeline: Any) -> None:
    adapter = loud(pipeline).attach(pipeline)
    fused = draw(pipeline, HUMAN)
    adapter.detach()
    pipeline.unet.set_attn_processor(AttnProcessor())
    base = draw(pipeline, OTHER)
    adapter.attach(pipeline)
    assert np.array_equal(draw(pipeline, OTHER), base)
    assert np.allclose(draw(pipeline, HUMAN), fused, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["one_block", "whole"])
def test_torch_compile(how: str, tiny_tokenizer: CLIPTokenizer) -> None:
    torch.compiler.reset()
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    adapter = loud(pipeline).attach(pipeline)
    expected = {prompt: draw(pipeline, prompt) for prompt in (HUMAN, OTHER, "two people dancing")}
    adapter.detach()
    if how == "one_block":
        pipeline.unet.mid_block.compile(backend="eager")
    else:
        pipeline.unet.compile(backend="eager")
    base = draw(pipeline, OTHER)
    adapter.attach(pipeline)
    assert np.array_equal(draw(pipeline, OTHER), base)
    for prompt in (HUMAN, OTHER, "two people dancing", HUMAN):
        assert np.allclose(draw(pipeline, prompt), expected[prompt], atol=1e-5)
    adapter.detach()
    assert np.array_equal(draw(pipeline, OTHER), base)


def test_a_wrapped_unet_has_the_same_sites(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    adapter = loud(pipeline)
    pipeline.unet = torch.compile(pipeline.unet, backend="eager")
    assert HcpAdapter.create(pipeline.unet, HcpConfig(width=8)).card == adapter.card
    adapter.attach(pipeline).detach()


def test_weights_offloaded_by_accelerate(pipeline: Any) -> None:
    adapter = loud(pipeline).attach(pipeline)
    expected = [draw(pipeline, prompt) for prompt in (HUMAN, OTHER)]
    adapter.detach()
    fingerprint = HcpAdapter.create(pipeline.unet, HcpConfig(width=8)).card.base_fingerprint
    cpu_offload(pipeline.unet, execution_device=torch.device("cpu"), offload_buffers=True)
    assert next(pipeline.unet.parameters()).is_meta
    again = HcpAdapter.create(pipeline.unet, HcpConfig(width=8))
    assert again.card.base_fingerprint == fingerprint
    adapter.attach(pipeline)
    for prompt, image in zip((HUMAN, OTHER), expected, strict=True):
        assert np.array_equal(draw(pipeline, prompt), image)


def test_weights_that_are_nowhere_are_named(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    pipeline.unet.to("meta")
    with pytest.raises(CheckpointError, match="meta device"):
        HcpAdapter.create(pipeline.unet, HcpConfig(width=8))


def test_the_second_prompt_of_sdxl_counts(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sdxl", tiny_tokenizer)
    base = draw(pipeline, OTHER, prompt_2=OTHER)
    base_human = draw(pipeline, OTHER, prompt_2=HUMAN)
    loud(pipeline).attach(pipeline)
    assert np.array_equal(draw(pipeline, OTHER, prompt_2=OTHER), base)
    assert not np.array_equal(draw(pipeline, OTHER, prompt_2=HUMAN), base_human)


def test_an_adapter_of_one_layout_names_what_differs_in_another(
    tiny_tokenizer: CLIPTokenizer,
) -> None:
    adapter = loud(layout_pipeline("sd1", tiny_tokenizer))
    with pytest.raises(CheckpointError, match=r"adapter 16 -> 16.*base has no such layer"):
        adapter.attach(layout_pipeline("sdxl", tiny_tokenizer))
