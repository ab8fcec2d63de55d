from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.attention_maps import word_map
from hcp.evaluation.generation import generate, record_picture
from hcp.training.config import TrainConfig
from hcp.training.methods import load_trained
from hcp.training.state import save_checkpoint
from hcp.training.trainer import Trainer

PROMPTS = ["a woman doing yoga", "a red car", "two people dancing"]
SEEDS = [1, 2, 3]


@pytest.fixture
def adapter(pipeline: StableDiffusionPipeline) -> HcpAdapter:
    return HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=3.0))


def test_a_picture_depends_on_its_own_prompt_and_seed(pipeline: StableDiffusionPipeline) -> None:
    images = generate(pipeline, PROMPTS, seeds=SEEDS, steps=2, batch_size=1)
    assert [image.shape for image in images] == [(32, 32, 3)] * 3
    assert all(image.dtype == np.uint8 for image in images)
    backwards = generate(pipeline, PROMPTS[::-1], seeds=SEEDS[::-1], steps=2, batch_size=1)
    for a, b in zip(images, backwards[::-1], strict=True):
        np.testing.assert_array_equal(a, b)
    other = generate(pipeline, PROMPTS, seeds=[4, 5, 6], steps=2, batch_size=1)
    assert not np.array_equal(images[0], other[0])


def test_the_adapter_changes_people_only_and_is_gone_afterwards(
    pipeline: StableDiffusionPipeline, adapter: HcpAdapter
) -> None:
    done: list[int] = []
    settings = {"seeds": SEEDS, "steps": 2, "batch_size": 2}
    base = generate(pipeline, PROMPTS, **settings)
    ours = generate(pipeline, PROMPTS, adapter=adapter, on_progress=done.append, **settings)
    same = [np.array_equal(a, b) for a, b in zip(base, ours, strict=True)]
    assert same == [False, True, False]
    assert done == [2, 3]
    again = generate(pipeline, PROMPTS, **settings)
    assert all(np.array_equal(a, b) for a, b in zip(base, again, strict=True))


def test_an_error_leaves_the_pipeline_without_the_adapter(
    pipeline: StableDiffusionPipeline, adapter: HcpAdapter
) -> None:
    with pytest.raises(ValueError, match="one seed per prompt"):
        generate(pipeline, PROMPTS, seeds=[1], adapter=adapter)
    with pytest.raises(ZeroDivisionError):
        generate(
            pipeline, PROMPTS, seeds=SEEDS, steps=1, adapter=adapter, on_progress=lambda n: n // 0
        )
    adapter.attach(pipeline).detach()


def test_maps_are_those_of_what_another_method_trained(
    pipeline: StableDiffusionPipeline, make_pipeline: Callable[[int], Any], tmp_path: Path
) -> None:
    trainer = Trainer(make_pipeline(0), TrainConfig(method="lora", ema_decay=None))
    with torch.no_grad():
        for parameter in trainer.parameters:
            parameter.add_(0.05)
    save_checkpoint(tmp_path / "c", trainer)
    lora = load_trained(tmp_path / "c")
    settings = {"seed": 1, "steps": 2}
    plain = record_picture(pipeline, PROMPTS[0], **settings)
    ours = record_picture(pipeline, PROMPTS[0], adapter=lora, **settings)
    assert not np.array_equal(ours.image, plain.image)
    assert ours.maps.human == []
    assert (ours.maps.mean("base") - plain.maps.mean("base")).abs().max() > 1e-4
    assert lora.pipeline is None
    again = record_picture(pipeline, PROMPTS[0], **settings)
    assert torch.equal(again.maps.mean("base"), plain.maps.mean("base"))


def test_maps_of_the_human_words(pipeline: StableDiffusionPipeline, adapter: HcpAdapter) -> None:
    drawn = record_picture(pipeline, PROMPTS[0], seed=1, steps=2, adapter=adapter)
    plain = generate(pipeline, PROMPTS[:1], seeds=[1], steps=2, adapter=adapter)
    np.testing.assert_array_equal(drawn.image, plain[0])
    assert [word.text for word in drawn.words] == ["woman", "yoga"]
    for word in drawn.words:
        base, human = (word_map(drawn.maps.mean(kind)[0], word) for kind in ("base", "human"))
        assert base.shape == human.shape == (16, 16)
        assert base.sum() == pytest.approx(1, abs=1e-3)
        assert human.sum() == pytest.approx(1, abs=1e-3)
    assert record_picture(pipeline, PROMPTS[0], seed=1, steps=2).maps.human == []
    none = record_picture(pipeline, "a red car", seed=1, steps=1, adapter=adapter)
    assert none.words == ()
    assert torch.is_grad_enabled()
