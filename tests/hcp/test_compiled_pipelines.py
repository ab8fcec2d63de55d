"""Case C08: one graph for every prompt, strength, mask and row layout of a compiled U-Net."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionSAGPipeline
from numpy.typing import NDArray
from transformers import CLIPTokenizer

from hcp import HcpAdapter
from tests.hcp.layouts import layout_pipeline
from tests.hcp.loud_adapters import HUMAN, OTHER, PHOTO, draw, load_ip_adapter, loud, remade

PROMPTS = (
    HUMAN, OTHER, "two people dancing", "a woman", "a dog", "a man running and jumping", "",
    "a woman and a man doing yoga in the park with a dog", "people", "a wooden table",
)  # fmt: skip

pytestmark = pytest.mark.slow


def compiled(pipeline: Any, how: str, backend: str) -> None:
    torch.compiler.reset()
    if how == "wrapped":
        pipeline.unet = torch.compile(pipeline.unet, fullgraph=True, backend=backend)
    else:
        pipeline.unet.compile(fullgraph=True, backend=backend)


@contextmanager
def never_again() -> Generator[None]:
    """Whatever compiles anew inside is an error."""
    dynamo: Any = torch._dynamo.config  # pyright: ignore[reportPrivateUsage] - no public one
    with dynamo.patch(error_on_recompile=True):
        yield


def pictures(pipeline: Any, adapter: HcpAdapter | None = None) -> list[NDArray[np.float32]]:
    drawn = [draw(pipeline, prompt) for prompt in PROMPTS]
    if adapter is not None:
        for strength in (0.5, 0.0, -1.0):
            with adapter.at_strength(strength):
                drawn.append(draw(pipeline, HUMAN))
    return drawn


@pytest.mark.parametrize("order", ["attached_first", "compiled_first"])
@pytest.mark.parametrize("how", ["wrapped", "in_place"])
@pytest.mark.parametrize("layout", ["sd1", "sdxl"])
def test_ten_prompts_and_strengths_are_one_graph(
    layout: Any, how: str, order: str, tiny_tokenizer: CLIPTokenizer
) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer)
    base = pictures(pipeline)
    adapter = loud(pipeline).attach(pipeline)
    expected = pictures(pipeline, adapter)
    if order == "compiled_first":
        adapter.detach()
        compiled(pipeline, how, "eager")
        adapter.attach(pipeline)
    else:
        compiled(pipeline, how, "eager")
    with never_again():
        found = pictures(pipeline, adapter)
    for picture, wanted in zip(found, expected, strict=True):
        assert np.allclose(picture, wanted, atol=1e-5)
    for picture, plain, prompt in zip(found, base, PROMPTS, strict=False):
        people = any(word in prompt for word in ("woman", "man", "people"))
        assert np.array_equal(picture, plain) == (not people)
    assert np.array_equal(found[-2], base[0])  # strength 0


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compilers_that_look_inside(backend: str, tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    adapter = loud(pipeline).attach(pipeline)
    expected = pictures(pipeline, adapter)
    compiled(pipeline, "wrapped", backend)
    with never_again():
        found = pictures(pipeline, adapter)
    for picture, wanted in zip(found, expected, strict=True):
        assert np.allclose(picture, wanted, atol=1e-4)


def test_beside_ip_adapter_and_another_adapter(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    load_ip_adapter(pipeline)
    loud(pipeline).attach(pipeline)
    loud(pipeline, seed=5, stages=("down", "mid")).attach(pipeline)

    def drawn() -> list[NDArray[np.float32]]:
        return [draw(pipeline, prompt, ip_adapter_image=PHOTO) for prompt in PROMPTS]

    expected = drawn()
    compiled(pipeline, "wrapped", "eager")
    with never_again():
        found = drawn()
    for picture, wanted in zip(found, expected, strict=True):
        assert np.allclose(picture, wanted, atol=1e-5)


def test_unknown_rows_are_an_error_inside_a_graph_too(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    loud(pipeline).attach(pipeline)
    compiled(pipeline, "wrapped", "eager")
    draw(pipeline, HUMAN)
    other = torch.randn(2, 16, 16)
    with torch.no_grad(), pytest.raises(ValueError, match="unknown"):
        pipeline.unet(torch.zeros(2, 4, 2, 2), torch.tensor(1), encoder_hidden_states=other,
                      return_dict=False)  # fmt: skip


def test_self_attention_guidance_compiled(tiny_tokenizer: CLIPTokenizer) -> None:
    pipeline = remade(StableDiffusionSAGPipeline, layout_pipeline("sd1", tiny_tokenizer))
    settings = {"sag_scale": 0.75, "guidance_scale": 5.0, "num_inference_steps": 2}
    base = draw(pipeline, OTHER, **settings)
    loud(pipeline).attach(pipeline)
    expected = draw(pipeline, HUMAN, **settings)
    torch.compiler.reset()
    pipeline.unet.up_blocks[1].compile(backend="eager", fullgraph=True)
    assert np.array_equal(draw(pipeline, OTHER, **settings), base)
    assert np.allclose(draw(pipeline, HUMAN, **settings), expected, atol=1e-5)
