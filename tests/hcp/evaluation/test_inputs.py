"""What a base cannot draw is said before it draws."""

import logging

import pytest
from diffusers import StableDiffusionPipeline

from hcp.evaluation.inputs import check_inputs
from storage.errors import HcpError

LONG = "a quiet street with houses, " * 40


def test_what_the_base_reads_whole_needs_no_note(pipeline: StableDiffusionPipeline) -> None:
    assert check_inputs(pipeline, ("a man running", "a red car"), steps=30) == ()


def test_a_prompt_that_the_text_encoder_cuts_is_noted(
    pipeline: StableDiffusionPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        (note,) = check_inputs(pipeline, ("a car", f"a man on {LONG}"), steps=1)
    assert note.startswith("1 of 2 prompts are longer than the 16 tokens")
    assert "'a man on a quiet street" in note
    assert not caplog.records


def test_human_words_that_the_base_never_reads_are_refused(
    pipeline: StableDiffusionPipeline,
) -> None:
    with pytest.raises(HcpError, match="human words behind the 16 tokens"):
        check_inputs(pipeline, (f"{LONG} and a man",), steps=1)


def test_more_steps_than_the_schedule_has_are_refused(pipeline: StableDiffusionPipeline) -> None:
    with pytest.raises(HcpError, match=r"evaluation\.steps: got 1001, .* has 1000"):
        check_inputs(pipeline, ("a man",), steps=1001)
