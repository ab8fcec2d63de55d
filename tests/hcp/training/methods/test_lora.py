"""LoRA in the attentions: seeded, saved as diffusers reads it, beside other LoRAs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp.training.config import LoraConfig
from hcp.training.methods import load_trained
from hcp.training.state import save_checkpoint
from tests.hcp.training.methods.short_runs import MakePipeline, draw, run, trainer_of


@pytest.mark.parametrize("method", ["lora", "attention", "region"])
def test_diffusers_reads_the_lora_itself(
    make_pipeline: MakePipeline, tmp_path: Path, method: str
) -> None:
    trainer = trainer_of(make_pipeline(0), method, ema_decay=None)
    run(trainer, 2)
    save_checkpoint(tmp_path / "c", trainer)
    pipeline = make_pipeline(0)
    pipeline.load_lora_weights(tmp_path / "c")
    np.testing.assert_allclose(draw(pipeline), draw(trainer.pipeline), atol=1e-5)


def test_it_stands_beside_another_lora(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    trainer = trainer_of(make_pipeline(0), "lora", ema_decay=None)
    run(trainer, 2)
    save_checkpoint(tmp_path / "c", trainer)
    pipeline = make_pipeline(0)
    pipeline.load_lora_weights(tmp_path / "c", adapter_name="mine")
    pipeline.set_adapters(["mine"], [0.5])
    one = draw(pipeline)
    loaded = load_trained(tmp_path / "c").attach(pipeline)
    assert not np.array_equal(draw(pipeline), one)
    loaded.strength = 0.0
    assert np.array_equal(draw(pipeline), one)
    loaded.detach()
    assert np.array_equal(draw(pipeline), one)
    assert pipeline.get_active_adapters() == ["mine"]


def test_layers_of_new_matrices_are_seeded(make_pipeline: MakePipeline) -> None:
    torch.manual_seed(1)
    one = trainer_of(make_pipeline(0), "lora").parameters
    torch.manual_seed(2)
    other = trainer_of(make_pipeline(0), "lora").parameters
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    seeded = trainer_of(make_pipeline(0), "lora", lora=LoraConfig(rank=2, init_seed=1)).parameters
    assert not torch.equal(one[0], seeded[0])


def test_targets_that_are_no_layers_are_refused(pipeline: StableDiffusionPipeline) -> None:
    with pytest.raises(ValueError, match="to_nothing"):
        trainer_of(pipeline, "lora", lora=LoraConfig(targets=("to_nothing",)))
