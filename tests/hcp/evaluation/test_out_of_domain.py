"""Prompts without people, by category: HcP keeps every bit, other methods change them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.out_of_domain import (
    BUILT_IN,
    PEOPLE,
    draw_out_of_domain,
    out_of_domain_measure,
    read_prompt_set,
)
from hcp.evaluation.run import EvaluationConfig, evaluate
from hcp.tokens import human_spans
from hcp.training.batches import LoaderState, collate, sample_rng
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.examples import make_example
from hcp.training.methods import Trained, load_trained
from hcp.training.state import save_checkpoint
from hcp.training.trainer import Trainer
from storage.errors import HcpError
from tests.hcp.evaluation.test_run import detector
from tests.hcp.samples import make_sample

SET = """
# ours
things: a wooden table
animals: a dog running
places: the park
people elsewhere: two people dancing in red
"""
CONFIG = EvaluationConfig(
    prompts=("a woman doing yoga",), seeds=(3,), steps=2, batch_size=3, n_resamples=50
)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_sets(name: str) -> None:
    prompts = read_prompt_set(name)
    people = [category for category in prompts if category.startswith(PEOPLE)]
    assert len(people) == 1
    assert set(prompts) > {"things", "animals", "styles", "places", "look-alikes"}
    without = [p for c, own in prompts.items() if c not in people for p in own]
    assert not any(human_spans(prompt) for prompt in without)
    assert all(human_spans(prompt) for prompt in prompts[people[0]])


@pytest.fixture
def place(tmp_path: Path) -> str:
    (tmp_path / "set.txt").write_text(SET)
    return str(tmp_path / "set.txt")


def one_step_of_lora(make_pipeline: Callable[[int], Any], folder: Path) -> Trained:
    pipeline = make_pipeline(0)
    data = DataConfig(resolution_px=32, flip_probability=0.0, caption_dropout=0.0)
    config = TrainConfig(
        method="lora", steps=1, batch_size=1, learning_rate=0.05, warmup_steps=0, ema_decay=None,
        data=data,
    )  # fmt: skip
    trainer = Trainer(pipeline, config)
    sample = make_sample(0)
    example = make_example(sample, config=data, rng=sample_rng(0, 0, sample.key))
    batch = collate([example], tokenizer=pipeline.tokenizer)
    trainer.step([(batch, LoaderState())])
    save_checkpoint(folder / "lora", trainer)
    return load_trained(folder / "lora")


def test_hcp_keeps_every_bit_and_one_step_of_lora_does_not(
    make_pipeline: Callable[[int], Any], place: str, tmp_path: Path
) -> None:
    pipeline = make_pipeline(0)
    trained: dict[str, Trained] = {
        "candidate": HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=3.0)),
        "lora": one_step_of_lora(make_pipeline, tmp_path),
    }
    prompts = read_prompt_set(place)
    drifts = draw_out_of_domain(pipeline, trained, prompts, config=CONFIG)
    for category in ("things", "animals", "places"):
        assert drifts["candidate"][category].differences == (0.0,)
        assert drifts["candidate"][category].identical_share == 1.0
        assert drifts["lora"][category].differences[0] > 0
        assert drifts["lora"][category].identical_share == 0.0
    assert drifts["candidate"]["people elsewhere"].differences[0] > 0


def test_categories_are_rows_of_the_report(pipeline: StableDiffusionPipeline, place: str) -> None:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=3.0))
    config = EvaluationConfig(
        prompts=CONFIG.prompts, seeds=(3,), steps=2, n_resamples=50, out_of_domain=place
    )

    def scorer(images: Any, texts: Any) -> list[float]:
        return [float(image.mean()) for image in images]

    measure = out_of_domain_measure(
        pipeline, {"candidate": adapter}, config=config, text_scorer=scorer
    )
    report = evaluate(
        pipeline, adapter, config=config, detector=detector, measures=[measure]
    ).report
    more = report.arms["candidate"].more
    assert more["out_of_domain_things_change"] == 0.0
    assert more["out_of_domain_things_identical"] == 1.0
    assert more["out_of_domain_people_elsewhere_change"] > 0.0
    assert report.comparisons["base"].more["out_of_domain_things_text"].mean == 0.0
    notes = {card.name: card.note for card in report.cards}
    assert "a change is allowed" in notes["out_of_domain_people_elsewhere_change"]
    assert "allowed" not in notes["out_of_domain_things_change"]


def test_off_says_so(pipeline: StableDiffusionPipeline) -> None:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16))
    measure = out_of_domain_measure(pipeline, {"candidate": adapter}, config=CONFIG)
    report = evaluate(
        pipeline, adapter, config=CONFIG, detector=detector, measures=[measure]
    ).report
    assert "out_of_domain is off" in report.not_measured["out_of_domain"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected lines 'category: prompt', got none"),
        ("# nothing\n\n", "expected lines 'category: prompt', got none"),
        ("a red car", "line 1: expected 'category: prompt'"),
        ("things: ", "line 1: expected 'category: prompt'"),
        (": a car", "line 1: expected 'category: prompt'"),
        ("things: a car\nthings: a man", "line 2: 'a man' has the human words"),
        ("people: a car", "line 1: 'a car' has no human word"),
        ("things: a car\nplaces: a car", "'a car' is given 2 times"),
    ],
)
def test_sets_that_cannot_be_used_are_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "set.txt").write_text(text)
    with pytest.raises(HcpError, match=said):
        read_prompt_set(str(tmp_path / "set.txt"))
    with pytest.raises(HcpError, match="neither a built-in set"):
        read_prompt_set(str(tmp_path / "nothing"))
