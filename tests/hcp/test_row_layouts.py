"""Cases C01, C02, C07: whatever lays a U-Net's rows out, in whatever order."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPAGPipeline,
    StableDiffusionPanoramaPipeline,
    StableDiffusionSAGPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    StableDiffusionXLPAGPipeline,
)
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from tests.hcp.layouts import layout_pipeline, layout_unet
from tests.hcp.loud_adapters import HUMAN, OTHER, PHOTO, draw, loud, remade

NEGATIVE = "a man jumping"


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
    settings: dict[str, Any] = {"image": PHOTO, "guidance_scale": 5.0}

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
