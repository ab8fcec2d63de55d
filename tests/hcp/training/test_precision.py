"""Half precision: what is held in which type, and the scale of float16's gradients."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp.training.config import Precision
from hcp.training.precision import autocast, base_dtype, gradient_scaler, keep_encoder_exact
from hcp.training.state import load_checkpoint, save_checkpoint
from hcp.training.trainer import Trainer
from tests.hcp.training.tiny_runs import CONFIG, batches, run

MakePipeline = Callable[[int], StableDiffusionPipeline]
CPU = torch.device("cpu")
FLOAT16 = replace(CONFIG, precision="float16")


@pytest.mark.parametrize(
    ("precision", "on_gpu"),
    [
        ("auto", torch.bfloat16),
        ("float32", torch.float32),
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
    ],
)
def test_the_base_is_half_on_a_gpu_alone(precision: Precision, on_gpu: torch.dtype) -> None:
    assert base_dtype(precision, "cuda:1") == on_gpu
    assert base_dtype(precision, "cpu") == torch.float32


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_autocast_and_the_scaler_follow_the_precision(
    precision: Precision, dtype: torch.dtype
) -> None:
    with autocast(precision, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert gradient_scaler(precision, CPU).is_enabled() == (precision == "float16")


def test_float16_trains_float32_weights_as_float32_does(make_pipeline: MakePipeline) -> None:
    exact = run(Trainer(make_pipeline(0), CONFIG), 4)
    trainer = Trainer(make_pipeline(0), FLOAT16)
    for half, full in zip(run(trainer, 4), exact, strict=True):
        assert half.loss == pytest.approx(full.loss, rel=2e-2)
        assert half.grad_norm == pytest.approx(full.grad_norm, rel=5e-2)
    assert {p.dtype for p in trainer.parameters} == {torch.float32}


def test_an_overflow_halves_the_scale_and_leaves_the_step_out(make_pipeline: MakePipeline) -> None:
    trainer = Trainer(make_pipeline(0), FLOAT16)
    run(trainer, 1)
    before = [p.detach().clone() for p in trainer.parameters]
    trainer.scaler.load_state_dict(trainer.scaler.state_dict() | {"scale": 1e38})
    averaged = trainer.ema.optimization_step if trainer.ema else None
    metrics = trainer.step([next(batches(trainer))])
    assert trainer.step_done == metrics.step == 2
    assert torch.tensor(metrics.loss).isfinite()
    assert all(map(torch.equal, before, trainer.parameters))
    assert (trainer.ema.optimization_step if trainer.ema else None) == averaged
    assert trainer.scaler.get_scale() == pytest.approx(0.5e38)
    trainer.scaler.load_state_dict(trainer.scaler.state_dict() | {"scale": 1024.0})
    run(trainer, 3)
    assert not all(map(torch.equal, before, trainer.parameters))


def test_a_resumed_float16_run_keeps_its_scale(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    first = Trainer(make_pipeline(0), FLOAT16)
    first.scaler.load_state_dict(first.scaler.state_dict() | {"scale": 512.0})
    head = run(first, 3)
    save_checkpoint(tmp_path, first)
    tail = run(first, 6)
    second = Trainer(make_pipeline(0), FLOAT16)
    load_checkpoint(tmp_path, second)
    assert second.scaler.get_scale() == 512.0
    assert run(second, 6) == tail
    assert head


def test_a_vae_that_overflows_encodes_in_float32(pipeline: StableDiffusionPipeline) -> None:
    pipeline.vae.register_to_config(force_upcast=False)
    pipeline.to(torch.float16)
    keep_encoder_exact(pipeline)
    assert pipeline.vae.dtype == torch.float16
    pipeline.vae.register_to_config(force_upcast=True)
    keep_encoder_exact(pipeline)
    assert (pipeline.vae.dtype, pipeline.unet.dtype) == (torch.float32, torch.float16)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_float16_base_trains_on_a_gpu(pipeline: StableDiffusionPipeline) -> None:
    trainer = Trainer(pipeline.to("cuda", torch.float16), FLOAT16)
    metrics = run(trainer, 4)
    assert all(torch.tensor(m.loss).isfinite() for m in metrics)
    assert {p.dtype for p in trainer.parameters} == {torch.float32}
