"""Cases C03 and C09: pipelines made from pipelines, and one adapter on several of them."""

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
    StableDiffusionPipeline,
    StableDiffusionSAGPipeline,
)
from diffusers.models.attention_processor import AttnProcessor2_0
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import CLIPTokenizer

from hcp import attachment
from tests.hcp.layouts import layout_pipeline
from tests.hcp.loud_adapters import HUMAN, OTHER, PHOTO, draw, loud, remade

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


def test_c03_diffusers_is_as_it_was_once_nobody_is_attached(
    tiny_tokenizer: CLIPTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Adapters that other tests left attached are nobody here.
    wrapped: Any = DiffusionPipeline.register_modules
    before = getattr(wrapped, "_before_hcp", wrapped)
    monkeypatch.setattr(attachment, "_followers", WeakSet())
    monkeypatch.setattr(DiffusionPipeline, "register_modules", before)
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    one, two = loud(pipeline).attach(pipeline), loud(pipeline, seed=5).attach(pipeline)
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
