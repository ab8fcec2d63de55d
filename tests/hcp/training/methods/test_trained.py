"""What any method trained is loaded, attached, scaled and taken off again."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from transformers import CLIPTokenizer

from hcp import HcpAdapter
from hcp.training.methods import load_trained
from hcp.training.state import save_checkpoint
from storage.errors import CheckpointError
from tests.hcp.layouts import PIXELS, Layout, layout_pipeline
from tests.hcp.training.methods.short_runs import (
    CONFIG,
    EVERY,
    OTHERS,
    MakePipeline,
    draw,
    run,
    same,
    state_of,
    trainer_of,
)


@pytest.mark.parametrize("method", EVERY)
def test_what_was_trained_draws_the_same_after_loading(
    make_pipeline: MakePipeline, tmp_path: Path, method: str
) -> None:
    trainer = trainer_of(make_pipeline(0), method, ema_decay=None)
    run(trainer, 2)
    save_checkpoint(tmp_path / "c", trainer)
    if method.startswith("hcp"):
        trainer.close()
        trainer.method.adapter.attach(trainer.pipeline)
    trained = draw(trainer.pipeline)

    pipeline = make_pipeline(0)
    base, weights = draw(pipeline), state_of(pipeline, "unet")
    loaded = load_trained(str(tmp_path / "c"))
    card = loaded.card
    assert (card.method, card.step, card.base_model) == (method, 2, "tiny")
    assert (card.dataset_version, card.teachers) == ("v1", ("d1",))
    assert sum(loaded.parameter_count().values()) == sum(p.numel() for p in trainer.parameters)
    loaded.attach(pipeline)
    with pytest.raises(ValueError, match="attached already"):
        loaded.attach(pipeline)
    drawn = draw(pipeline)
    np.testing.assert_allclose(drawn, trained, atol=1e-5)
    assert not np.array_equal(drawn, base)
    with loaded.at_strength(0.0):
        assert np.array_equal(draw(pipeline), base)
    loaded.strength = 0.5
    half = draw(pipeline)
    assert not np.array_equal(half, base)
    assert not np.array_equal(half, drawn)
    loaded.strength = 1.0
    assert np.array_equal(draw(pipeline), drawn)
    loaded.detach()
    loaded.detach()
    assert np.array_equal(draw(pipeline), base)
    assert same(state_of(pipeline, "unet"), weights)


@pytest.mark.parametrize("method", OTHERS)
def test_another_base_is_refused(make_pipeline: MakePipeline, tmp_path: Path, method: str) -> None:
    trainer = trainer_of(make_pipeline(0), method)
    save_checkpoint(tmp_path / "c", trainer)
    loaded, other = load_trained(tmp_path / "c"), make_pipeline(1)
    with pytest.raises(CheckpointError, match="other weights"):
        loaded.attach(other)
    loaded.attach(other, any_base=True).detach()


@pytest.mark.parametrize("method", OTHERS)
def test_an_hcp_adapter_is_not_made_of_it(
    pipeline: StableDiffusionPipeline, tmp_path: Path, method: str
) -> None:
    save_checkpoint(tmp_path / "c", trainer_of(pipeline, method))
    with pytest.raises(CheckpointError, match=rf"method '{method}': load it with .*load_trained"):
        HcpAdapter.from_pretrained(tmp_path / "c")


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["sd2", "sdxl"])
@pytest.mark.parametrize("method", ["attention", "full"])
def test_other_layouts_train_and_load(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path, method: str, layout: Layout
) -> None:
    first, second = (layout_pipeline(layout, tiny_tokenizer) for _ in range(2))
    data = dataclasses.replace(CONFIG.data, resolution_px=PIXELS)
    trainer = trainer_of(first, method, ema_decay=None, data=data)
    run(trainer, 2)
    save_checkpoint(tmp_path / "c", trainer)
    base, trained = draw(second), draw(first)
    loaded = load_trained(tmp_path / "c").attach(second)
    np.testing.assert_allclose(draw(second), trained, atol=1e-5)
    loaded.detach()
    assert np.array_equal(draw(second), base)
    if method == "attention":
        second.load_lora_weights(tmp_path / "c")
        np.testing.assert_allclose(draw(second), trained, atol=1e-5)
