"""Lean backward passes of a frozen U-Net: the same output, the same gradients, less kept."""

from typing import Any

import pytest
import torch
from peft import LoraConfig
from torch import Tensor

from hcp.adapter import HcpAdapter
from hcp.config import HcpConfig, Stage
from hcp.training.frozen import LeanBackward
from tests.hcp.layouts import LAYOUTS, SIDE, Layout, layout_unet

BATCH, TOKENS = 2, 6
MASK = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 0]], dtype=torch.bool)


def _inputs(unet: Any, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    inputs: dict[str, Any] = {
        "sample": draw(BATCH, 4, SIDE, SIDE),
        "timestep": torch.tensor([10, 700]),
        "encoder_hidden_states": draw(BATCH, TOKENS, unet.config.cross_attention_dim),
    }
    if unet.config.addition_embed_type:
        size = unet.config.projection_class_embeddings_input_dim
        pooled = size - 6 * unet.config.addition_time_embed_dim
        ids = torch.tensor([[16, 16, 0, 0, 16, 16]] * BATCH)
        inputs["added_cond_kwargs"] = {"text_embeds": draw(BATCH, pooled), "time_ids": ids}
    return inputs


def _step(
    unet: Any, adapter: HcpAdapter, *, lean: bool, kept: list[Tensor] | None = None
) -> list[Tensor]:
    # Prediction and the gradients of the adapter's parameters.
    adapter.zero_grad(set_to_none=True)
    injection = adapter.inject(unet)
    blocks = LeanBackward(unet) if lean else None

    def note(tensor: Tensor) -> Tensor:
        if kept is not None:
            kept.append(tensor)
        return tensor

    with (
        injection.tokens(MASK, record=("down", "mid", "up")),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        out = unet(**_inputs(unet, unet.dtype)).sample
        maps = injection.maps((SIDE, SIDE))
        loss = out.square().sum() + sum((10 * layer.attn_map).square().sum() for layer in maps)
        loss.backward()
    if blocks is not None:
        blocks.remove()
    injection.remove()
    grads = [p.grad for p in adapter.parameters()]
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
    return [out.detach(), *(grad.clone() for grad in grads if grad is not None)]


def _same(ours: list[Tensor], reference: list[Tensor]) -> None:
    assert torch.allclose(ours[0], reference[0], rtol=1e-12, atol=1e-12)
    for a, b in zip(ours[1:], reference[1:], strict=True):
        assert (a - b).norm() <= 1e-9 * b.norm()


@pytest.mark.parametrize("stages", [("mid", "up"), ("up",), ("down", "mid", "up")], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_autograds(layout: Layout, stages: tuple[Stage, ...]) -> None:
    unet = layout_unet(layout).double()
    adapter = HcpAdapter.create(unet, HcpConfig(width=8, stages=stages)).double()
    _same(_step(unet, adapter, lean=True), _step(unet, adapter, lean=False))


def test_gradients_are_autograds_with_gradient_checkpointing() -> None:
    unet = layout_unet("sd1").double().train()
    adapter = HcpAdapter.create(unet, HcpConfig(width=8)).double()
    expected = _step(unet, adapter, lean=False)
    unet.enable_gradient_checkpointing()
    _same(_step(unet, adapter, lean=True), expected)


def test_lora_in_the_blocks_still_counts() -> None:
    unet = layout_unet("sd1").double()
    config: Any = LoraConfig(
        r=2, init_lora_weights=False, target_modules=["conv1", "conv_shortcut", "ff.net.0.proj"]
    )
    unet.add_adapter(config)
    unet.double().requires_grad_(requires_grad=False)
    adapter = HcpAdapter.create(unet, HcpConfig(width=8)).double()
    _same(_step(unet, adapter, lean=True), _step(unet, adapter, lean=False))


@pytest.mark.parametrize("part", ["up_blocks", "down_blocks"])
def test_trainable_blocks_keep_their_gradients(part: str) -> None:
    unet = layout_unet("sd1").double()
    convolution = getattr(unet, part)[1].resnets[0].conv1.requires_grad_()
    adapter = HcpAdapter.create(unet, HcpConfig(width=8)).double()
    found = []
    for lean in (True, False):
        convolution.zero_grad(set_to_none=True)
        _step(unet, adapter, lean=lean)
        assert convolution.weight.grad is not None
        found.append(convolution.weight.grad.clone())
    assert torch.allclose(*found, rtol=1e-9)


def test_forward_passes_that_others_replaced_stay() -> None:
    unet = layout_unet("sd1").double()
    adapter = HcpAdapter.create(unet, HcpConfig(width=8)).double()
    expected = _step(unet, adapter, lean=False)
    convolution, calls = unet.up_blocks[1].resnets[0].conv1, []
    own = convolution.forward

    def counted(x: Tensor) -> Tensor:
        calls.append(1)
        return own(x)

    convolution.forward = counted
    _same(_step(unet, adapter, lean=True), expected)
    assert calls == [1]
    assert convolution.forward is counted


def test_those_who_watch_a_part_still_see_it() -> None:
    unet = layout_unet("sd1").double()
    adapter, calls = HcpAdapter.create(unet, HcpConfig(width=8)).double(), list[int]()
    expected = _step(unet, adapter, lean=False)
    block = unet.up_blocks[1].attentions[0].transformer_blocks[0]
    for part in (block.ff.net[0].proj, block.attn1.to_q, unet.up_blocks[1].resnets[0].conv1):
        part.register_forward_hook(lambda *_: calls.append(1))
    _same(_step(unet, adapter, lean=True), expected)
    assert len(calls) == 3


def test_far_less_is_kept() -> None:
    unet = layout_unet("sd1")
    weights = {p.data_ptr() for p in unet.parameters()}
    adapter = HcpAdapter.create(unet, HcpConfig(width=8))

    def kept_bytes(*, lean: bool) -> int:
        kept: list[Tensor] = []
        _step(unet, adapter, lean=lean, kept=kept)
        held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}
        return sum(size for pointer, size in held.items() if pointer not in weights)

    assert kept_bytes(lean=True) < 0.75 * kept_bytes(lean=False)


def test_bfloat16_autocast_gives_gradients_near_float32s() -> None:
    unet = layout_unet("sd1")
    adapter = HcpAdapter.create(unet, HcpConfig(width=8))
    expected = _step(unet, adapter, lean=False)
    with torch.autocast("cpu", torch.bfloat16):
        plain = _step(unet, adapter, lean=False)
        ours = _step(unet, adapter, lean=True)
    for a, b, c in zip(ours, plain, expected, strict=True):
        assert a.dtype == b.dtype
        assert (a.float() - c).norm() <= 1.5 * (b.float() - c).norm() + 0.02 * c.norm()


def test_remove_gives_the_blocks_back() -> None:
    unet = layout_unet("sd1")
    inputs = _inputs(unet, torch.float32)
    with torch.no_grad():
        before = unet(**inputs).sample
        blocks = LeanBackward(unet)
        changed = [m for m in unet.modules() if "forward" in vars(m)]
        within = unet(**inputs).sample
        blocks.remove()
        after = unet(**inputs).sample
    assert changed
    assert not any("forward" in vars(m) for m in unet.modules())
    assert torch.equal(before, within)
    assert torch.equal(before, after)
