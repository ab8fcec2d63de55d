"""How a pipeline's prompts reach the HcP layers, and how the pipeline gets its methods back."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.inject import Injection
from hcp.pipeline_tokens import PipelineTokens, as_mask
from hcp.tokens import human_token_mask

PROMPTS = ["a red car", "a woman doing yoga"]


@pytest.fixture
def injection(pipeline: StableDiffusionPipeline) -> Injection:
    return HcpAdapter.create(pipeline.unet, HcpConfig(width=8)).inject(pipeline.unet)


def encode(pipeline: StableDiffusionPipeline, repeats: int, *, guided: bool) -> list[torch.Tensor]:
    """Encode the prompts as a call would: prompts, and negative ones where guided."""
    encoded = pipeline.encode_prompt(PROMPTS, "cpu", repeats, guided)
    return [part for part in encoded if part is not None]


def test_encoding_announces_a_row_per_picture(
    pipeline: StableDiffusionPipeline, injection: Injection
) -> None:
    PipelineTokens(pipeline, injection)
    prompts, negative = encode(pipeline, 2, guided=True)
    expected = human_token_mask(pipeline.tokenizer, PROMPTS).repeat_interleave(2, dim=0)
    assert len(expected) == len(prompts) == 4
    assert torch.equal(injection.selection().valid.any(dim=1), expected.any(dim=1))
    plan = injection.state.plan(torch.cat([negative, prompts]))
    assert plan is not None
    assert plan.index is not None
    assert plan.index.tolist() == [6, 7]


def test_the_end_of_a_call_forgets_its_prompts(
    pipeline: StableDiffusionPipeline, injection: Injection
) -> None:
    PipelineTokens(pipeline, injection)
    encode(pipeline, 1, guided=False)
    pipeline.maybe_free_model_hooks()
    with pytest.raises(ValueError, match="no batch"):
        injection.selection()


def test_a_given_mask_replaces_the_extractor(
    pipeline: StableDiffusionPipeline, injection: Injection
) -> None:
    PipelineTokens(pipeline, injection)
    injection.state.given = as_mask(torch.eye(2, pipeline.tokenizer.model_max_length))
    encode(pipeline, 1, guided=False)
    assert injection.selection().columns.tolist() == [[0], [1]]


def test_removal_deletes_the_shadows_and_keeps_those_of_others(
    pipeline: StableDiffusionPipeline, injection: Injection
) -> None:
    PipelineTokens(pipeline, injection).remove()
    assert not {"encode_prompt", "maybe_free_model_hooks"} & set(vars(pipeline))

    def own(*args: object) -> None:
        del args

    pipeline.maybe_free_model_hooks = own
    tokens = PipelineTokens(pipeline, injection)
    assert pipeline.maybe_free_model_hooks is not own
    tokens.remove()
    assert pipeline.maybe_free_model_hooks is own


def test_a_pipeline_without_the_methods_is_refused(injection: Injection) -> None:
    with pytest.raises(ValueError, match=r"encode_prompt\(\)"):
        PipelineTokens(SimpleNamespace(), injection)


def test_masks_are_two_dimensional_and_bool() -> None:
    mask = as_mask(torch.tensor([[0.0, 2.0]], requires_grad=True))
    assert mask.tolist() == [[False, True]]
    with pytest.raises(ValueError, match="prompts, tokens"):
        as_mask(torch.zeros(3))
