"""``adapter.strength``: 0 is the base's bits, 1 what was trained, in between continuous."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from hcp import HcpAdapter, HcpConfig
from tests.hcp.layouts import LAYOUTS, TASKS, Layout, layout_pipeline, task_inputs
from tests.hcp.loud_adapters import HUMAN, draw, loud


def distance(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).max())


def mean_distance(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_pipeline_goes_from_the_base_to_what_was_trained(
    layout: Layout, task: str, tiny_tokenizer: CLIPTokenizer
) -> None:
    pipeline = layout_pipeline(layout, tiny_tokenizer, task)
    inputs = task_inputs(task, rows=1)
    base = draw(pipeline, HUMAN, **inputs)
    adapter = loud(pipeline).attach(pipeline)
    full = draw(pipeline, HUMAN, **inputs)
    adapter.strength = 0
    assert np.array_equal(draw(pipeline, HUMAN, **inputs), base)
    adapter.strength = 0.5
    half = draw(pipeline, HUMAN, **inputs)
    assert min(distance(half, base), distance(half, full)) > 0
    adapter.strength = 1
    assert np.array_equal(draw(pipeline, HUMAN, **inputs), full)


@pytest.fixture(params=["sd1", "sdxl"])
def pipeline(request: pytest.FixtureRequest, tiny_tokenizer: CLIPTokenizer) -> Any:
    """A fresh text-to-image pipeline."""
    return layout_pipeline(request.param, tiny_tokenizer)


def test_it_is_the_same_set_before_and_after_attaching_and_inside_a_block(pipeline: Any) -> None:
    base = draw(pipeline, HUMAN)
    adapter = loud(pipeline)
    adapter.strength = 0.5
    adapter.attach(pipeline)
    half = draw(pipeline, HUMAN)
    adapter.detach()
    adapter.strength = 1.0
    adapter.attach(pipeline)
    full = draw(pipeline, HUMAN)
    with adapter.at_strength(0.5):
        assert np.array_equal(draw(pipeline, HUMAN), half)
        with adapter.at_strength(0.0):
            assert np.array_equal(draw(pipeline, HUMAN), base)
        assert adapter.strength == 0.5
    assert np.array_equal(draw(pipeline, HUMAN), full)
    with pytest.raises(RuntimeError, match="on purpose"), adapter.at_strength(0.25):
        raise RuntimeError("on purpose")
    assert adapter.strength == 1.0
    with pytest.raises(ValueError, match="finite"), adapter.at_strength(float("inf")):
        pass
    assert adapter.strength == 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_small_steps_of_strength_are_small_steps_of_the_picture(
    dtype: torch.dtype, pipeline: Any
) -> None:
    adapter = loud(pipeline, gamma=20.0)
    pipeline.to(dtype)
    base = draw(pipeline, HUMAN)
    adapter.attach(pipeline)
    pictures = [base]
    for strength in (1e-4, 0.25, 0.2501, 0.75, 0.7501, 0.9999, 1.0):
        with adapter.at_strength(strength):
            pictures.append(draw(pipeline, HUMAN))
    whole = mean_distance(pictures[0], pictures[-1])
    for near, other in ((0, 1), (2, 3), (4, 5), (6, 7)):
        assert mean_distance(pictures[near], pictures[other]) < 0.15 * whole
    assert mean_distance(pictures[1], pictures[2]) > 0.15 * whole
    adapter.strength = 0.0
    assert np.array_equal(draw(pipeline, HUMAN), base)


def test_it_may_change_between_the_steps_of_one_picture(pipeline: Any) -> None:
    # The keys of the first step are kept for the later ones: the strength is not among them.
    adapter = loud(pipeline).attach(pipeline)

    def drawn(*strengths: float) -> Any:
        adapter.strength = strengths[0]

        def change(_p: Any, step: int, _t: Any, state: dict[str, Any]) -> dict[str, Any]:
            adapter.strength = strengths[min(step + 1, len(strengths) - 1)]
            return state

        return draw(pipeline, HUMAN, num_inference_steps=3, callback_on_step_end=change)

    full, off = drawn(1.0), drawn(0.0)
    assert not np.array_equal(drawn(1.0, 0.0, 0.0), full)
    assert not np.array_equal(drawn(0.0, 1.0, 1.0), off)
    assert np.array_equal(drawn(1.0, 1.0, 1.0), full)


def test_a_gate_that_is_zero_is_the_base_at_every_strength(pipeline: Any) -> None:
    base = draw(pipeline, HUMAN)
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=8, gate="zero")).attach(pipeline)
    for strength in (0.0, 0.5, 1.0, 3.0):
        adapter.strength = strength
        assert np.array_equal(draw(pipeline, HUMAN), base)


def test_the_learned_value_and_the_residual_start_follow_it(pipeline: Any) -> None:
    base = draw(pipeline, HUMAN)
    config = HcpConfig(width=8, start="residual", value="learned", gate="zero")
    adapter = HcpAdapter.create(pipeline.unet, config)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(3))
    adapter.attach(pipeline)
    full = draw(pipeline, HUMAN)
    with adapter.at_strength(0.0):
        assert np.array_equal(draw(pipeline, HUMAN), base)
    with adapter.at_strength(0.9999):
        assert distance(draw(pipeline, HUMAN), full) < 1e-2 * distance(full, base)


def test_it_reaches_processors_that_were_changed_after_attaching(pipeline: Any) -> None:
    adapter = loud(pipeline).attach(pipeline)
    pipeline.enable_attention_slicing(1)
    adapter.strength = 0.0
    off = draw(pipeline, HUMAN)
    adapter.strength = 1.0
    on = draw(pipeline, HUMAN)
    adapter.detach()
    assert np.array_equal(draw(pipeline, HUMAN), off)
    assert not np.array_equal(on, off)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["one_block", "whole"])
def test_a_compiled_unet_sees_each_new_strength_and_compiles_no_more(
    how: str, tiny_tokenizer: CLIPTokenizer
) -> None:
    torch.compiler.reset()
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    adapter = loud(pipeline).attach(pipeline)
    strengths = (1.0, 0.5, 0.0, 0.25, 1.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9)
    expected = [drawn_at(adapter, pipeline, strength) for strength in strengths]
    adapter.detach()
    part = pipeline.unet.mid_block if how == "one_block" else pipeline.unet
    part.compile(backend="eager")
    base = draw(pipeline, HUMAN)
    adapter.attach(pipeline)
    compiled = 0
    for i, (strength, picture) in enumerate(zip(strengths, expected, strict=True)):
        found = drawn_at(adapter, pipeline, strength)
        assert np.allclose(found, picture, atol=1e-5)
        assert strength or np.array_equal(found, base)
        frames = torch._dynamo.utils.counters["frames"]["ok"]
        assert i < 4 or frames == compiled  # its limit is eight times
        compiled = frames


def drawn_at(adapter: HcpAdapter, pipeline: Any, strength: float) -> Any:
    adapter.strength = strength
    return draw(pipeline, HUMAN)
