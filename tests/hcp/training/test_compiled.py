"""Compiled blocks compute what the others do, beside whatever lives in the attentions."""

from collections.abc import Callable
from dataclasses import replace
from time import process_time
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import mse_loss

from hcp import HcpAdapter, HcpConfig
from hcp.training.compiled import CompiledBlocks
from hcp.training.frozen import LeanBackward
from hcp.training.trainer import Trainer
from tests.hcp.conftest import tiny_unet
from tests.hcp.training.tiny_runs import CONFIG, run

MakePipeline = Callable[[int], StableDiffusionPipeline]

INPUTS = torch.Generator().manual_seed(0)
NOISY, TEXT = torch.randn(2, 4, 16, 16, generator=INPUTS), torch.randn(2, 16, 32, generator=INPUTS)
MASK = torch.zeros(2, 16, dtype=torch.bool)
MASK[:, 2:5] = True


def step(unet: Any, adapter: HcpAdapter, *, lean: bool = False) -> tuple[Tensor, list[Tensor]]:
    injection = adapter.inject(unet)
    blocks = LeanBackward(unet) if lean else None
    adapter.zero_grad()
    with injection.tokens(MASK):
        out = unet(NOISY, torch.tensor([5, 700]), TEXT).sample
        mse_loss(out, NOISY).backward()
    if blocks is not None:
        blocks.remove()
    injection.remove()
    return out.detach(), [p.grad.clone() for p in adapter.parameters() if p.grad is not None]


@pytest.fixture
def adapted() -> tuple[Any, HcpAdapter]:
    unet = tiny_unet().requires_grad_(requires_grad=False)
    return unet, HcpAdapter.create(unet, HcpConfig(width=8))


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_same_output_and_gradients(adapted: tuple[Any, HcpAdapter], checkpointing: bool) -> None:
    unet, adapter = adapted
    out, grads = step(unet, adapter, lean=True)
    if checkpointing:
        unet.train()
        unet.enable_gradient_checkpointing()
    names = list(unet.state_dict())
    blocks = CompiledBlocks(unet, backend="aot_eager")
    for _ in range(2):
        found, own = step(unet, adapter)
        torch.testing.assert_close(found, out, rtol=1e-4, atol=1e-5)
        for ours, theirs in zip(own, grads, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)
    assert list(unet.state_dict()) == names
    blocks.remove()


def test_remove_gives_the_blocks_and_the_limit_back(adapted: tuple[Any, HcpAdapter]) -> None:
    unet, adapter = adapted
    limit = torch._dynamo.config.recompile_limit
    out, _ = step(unet, adapter)
    blocks = CompiledBlocks(unet, backend="eager")
    assert torch._dynamo.config.recompile_limit > limit
    blocks.remove()
    assert torch._dynamo.config.recompile_limit == limit
    assert torch.equal(step(unet, adapter)[0], out)


@pytest.mark.slow
def test_the_real_compiler_agrees_and_is_measured(record_property: Any) -> None:
    unet: Any = UNet2DConditionModel(
        sample_size=16, block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=32,
        attention_head_dim=2,
    ).requires_grad_(requires_grad=False)  # fmt: skip
    adapter = HcpAdapter.create(unet, HcpConfig(width=8))
    out, grads = step(unet, adapter, lean=True)
    blocks = CompiledBlocks(unet)
    start = process_time()
    found, own = step(unet, adapter)
    record_property("first_step_s", process_time() - start)
    torch.testing.assert_close(found, out, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(own, grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)
    compiled_s = seconds_of_steps(unet, adapter, lean=False)
    blocks.remove()
    record_property("to_lean", compiled_s / seconds_of_steps(unet, adapter, lean=True))


def seconds_of_steps(unet: Any, adapter: HcpAdapter, *, lean: bool) -> float:
    start = process_time()
    for _ in range(20):
        step(unet, adapter, lean=lean)
    return process_time() - start


@pytest.mark.slow
def test_a_training_with_compiled_blocks_has_the_same_losses(
    make_pipeline: MakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(Trainer(make_pipeline(0), CONFIG), 2)
    # Traced and run as it is: what the compiler makes of it is tested above.
    monkeypatch.setattr(CompiledBlocks.__init__, "__kwdefaults__", {"backend": "eager"})
    pipeline = make_pipeline(0)
    trainer = Trainer(pipeline, replace(CONFIG, compile=True, gradient_checkpointing=True))
    for ours, theirs in zip(run(trainer, 2), plain, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-4)
    compiled = [m for m in pipeline.unet.modules() if m._compiled_call_impl is not None]
    assert len(compiled) > 10
    trainer.close()
    assert not [m for m in pipeline.unet.modules() if m._compiled_call_impl is not None]
