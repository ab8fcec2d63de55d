"""Every method in the same loop: what trains, what stays, what is resumed, what is saved."""

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpConfig
from hcp.config import AlignmentConfig
from hcp.training.config import LoraConfig
from hcp.training.state import load_checkpoint, save_checkpoint
from storage.errors import CheckpointError
from tests.hcp.training.methods.short_runs import (
    EVERY,
    OTHERS,
    MakePipeline,
    run,
    same,
    state_of,
    stream,
    trainer_of,
)


@pytest.mark.parametrize("method", EVERY)
def test_what_is_named_trains_and_nothing_else(
    pipeline: StableDiffusionPipeline, method: str
) -> None:
    frozen = ("vae", "text_encoder") if "full" in method else ("unet", "vae", "text_encoder")
    before = state_of(pipeline, *frozen)
    trainer = trainer_of(pipeline, method)
    named = trainer.method.named_parameters()
    start = {name: parameter.detach().clone() for name, parameter in named}
    assert [p for _, p in named] == trainer.parameters
    assert len(start) == len(named)
    modules = [pipeline.unet, pipeline.vae, pipeline.text_encoder]
    if not method.startswith("hcp"):
        trains = [p for module in modules for p in module.parameters() if p.requires_grad]
        assert {id(p) for p in trains} == {id(p) for p in trainer.parameters}
    run(trainer, 2)
    moved = [name for name, p in named if not torch.equal(p, start[name])]
    assert moved == list(start)
    trainer.close()
    assert same(state_of(pipeline, *frozen), before)
    assert not any(p.requires_grad for module in modules for p in module.parameters())


@pytest.mark.parametrize("method", EVERY)
def test_a_resumed_run_takes_the_same_steps(
    make_pipeline: MakePipeline, tmp_path: Path, method: str
) -> None:
    whole_trainer = trainer_of(make_pipeline(0), method)
    whole = run(whole_trainer, 4)
    first = trainer_of(make_pipeline(0), method)
    head = run(first, 2)
    save_checkpoint(tmp_path / "step-2", first)
    second = trainer_of(make_pipeline(0), method)
    load_checkpoint(tmp_path / "step-2", second)
    assert head + run(second, 4) == whole
    for a, b in zip(whole_trainer.parameters, second.parameters, strict=True):
        assert torch.equal(a, b)


def test_the_state_of_another_method_is_refused(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "lora", trainer_of(make_pipeline(0), "lora"))
    for other in ("hcp", "attention", "full"):
        with pytest.raises(CheckpointError, match=f"by the method 'lora', this run is '{other}'"):
            load_checkpoint(tmp_path / "lora", trainer_of(make_pipeline(0), other))
    wider = trainer_of(make_pipeline(0), "lora", lora=LoraConfig(rank=3))
    with pytest.raises(CheckpointError, match="other settings of the method 'lora': lora"):
        load_checkpoint(tmp_path / "lora", wider)


@pytest.mark.parametrize("method", [*OTHERS, "hcp"])
def test_a_training_begins_from_another_s_weights(
    make_pipeline: MakePipeline, tmp_path: Path, method: str
) -> None:
    first = trainer_of(make_pipeline(0), method, ema_decay=None)
    run(first, 1)
    save_checkpoint(tmp_path / "c", first)
    second = trainer_of(make_pipeline(0), method)
    second.start_from(str(tmp_path / "c"))
    for a, b in zip(first.parameters, second.parameters, strict=True):
        torch.testing.assert_close(a, b)


def test_a_begin_from_what_does_not_fit_is_refused(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "lora", trainer_of(make_pipeline(0), "lora"))
    save_checkpoint(tmp_path / "hcp", trainer_of(make_pipeline(0), "hcp"))
    before = trainer_of(make_pipeline(0), "lora", lora=LoraConfig(rank=3))
    start = [p.detach().clone() for p in before.parameters]
    with pytest.raises(CheckpointError, match=r"init_from .*another layout"):
        before.start_from(str(tmp_path / "lora"))
    assert all(torch.equal(a, b) for a, b in zip(start, before.parameters, strict=True))
    with pytest.raises(CheckpointError, match="other weights"):
        trainer_of(make_pipeline(1), "attention").start_from(str(tmp_path / "lora"))
    for method, file in (("full", "unet/.*safetensors"), ("lora", "pytorch_lora_weights")):
        trainer = trainer_of(make_pipeline(0), method)
        with pytest.raises(CheckpointError, match=f"{method!r} begins with {file}.*not there"):
            trainer.start_from(str(tmp_path / "hcp"))
    with pytest.raises(CheckpointError, match="no HcP adapter but of the method 'lora'"):
        trainer_of(make_pipeline(0), "hcp").start_from(str(tmp_path / "lora"))


def test_noise_data_and_first_loss_are_the_same_for_all(make_pipeline: MakePipeline) -> None:
    first = {
        method: run(trainer_of(make_pipeline(0), method), 1)[0]
        for method in ("hcp+gate", "lora", "attention", "full")
    }
    losses = {method: step.denoise for method, step in first.items()}
    # A closed gate and a B of zeros are the base; so are the weights that have not moved.
    assert list(losses.values()) == pytest.approx([losses["lora"]] * 4, rel=1e-5)


def test_attention_is_pulled_to_people(pipeline: StableDiffusionPipeline) -> None:
    hcp = HcpConfig(alignment=AlignmentConfig(alpha=50.0, distance="centred_cosine"))
    trainer = trainer_of(pipeline, "attention", hcp=hcp, lora=LoraConfig(rank=8))
    batch = next(stream(trainer))
    first = trainer.step([batch])
    for _ in range(30):
        trainer.step_done = 0  # the same noise every time
        last = trainer.step([batch])
    assert last.alignment < 0.9 * first.alignment
    assert first.attention_share is not None
    assert last.attention_share is not None
    assert last.attention_share > first.attention_share
    assert set(last.alignment_by_stage) == {"mid", "up"}


@pytest.mark.parametrize("method", ["attention", "attention+full", "full", "lora"])
def test_gradient_checkpointing_changes_no_gradient(
    make_pipeline: MakePipeline, method: str
) -> None:
    grads: list[list[torch.Tensor]] = []
    for checkpointing in (False, True):
        trainer = trainer_of(make_pipeline(0), method, gradient_checkpointing=checkpointing)
        trainer.step([next(stream(trainer))])
        grads.append([p.grad for p in trainer.parameters if p.grad is not None])
        trainer.close()
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
