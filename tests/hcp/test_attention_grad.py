"""The attention of a training step equals the formulas of hcp.attention, gradients included."""

import pytest
import torch
from torch import Tensor

from hcp.attention import fused_attention, human_map_columns
from hcp.attention_grad import attend_in_training
from hcp.token_state import RowPlan, TokenState

MASK = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)


def _inputs(dtype: torch.dtype, *, pixels: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(3, 2, length, 4, generator=generator, dtype=torch.float64).to(dtype)
        for length in (pixels, 5, 5, 5)
    ]


def _plan(mask: Tensor) -> RowPlan:
    state = TokenState()
    state.set(mask)
    plan = state.plan(torch.zeros(*mask.shape, 1))
    assert plan is not None
    return plan


@pytest.mark.parametrize("mask", [MASK, MASK[[0, 2, 0]]], ids=["some_rows", "all_rows"])
def test_output_maps_and_gradients_are_those_of_the_formulas(mask: Tensor) -> None:
    plan = _plan(mask)
    found, expected = [], []
    for ours in (True, False):
        query, key, value, key_h = (x.requires_grad_() for x in _inputs(torch.float64))
        gate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        human_keys = plan.take(key_h)
        if ours:
            out, maps = attend_in_training(query, key, value, human_keys, strength=gate, plan=plan)
        else:
            out = fused_attention(query, key, value, key_h, mask, gamma=gate)
            maps = human_map_columns(plan.take(query), human_keys, plan.columns)
        (out.square().sum() + maps[..., 0].square().sum()).backward()
        tensors = [out, maps, *(x.grad for x in (query, key, value, key_h, gate))]
        (found if ours else expected).extend(t for t in tensors if t is not None)
    assert len(found) == len(expected) == 7
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_gradients_in_float64() -> None:
    plan = _plan(MASK[:2])
    query, key, value, key_h = (x[:2].requires_grad_() for x in _inputs(torch.float64, pixels=3))
    human_keys = key_h[:1].detach().requires_grad_()
    gate = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def call(q: Tensor, k: Tensor, v: Tensor, k_h: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        return attend_in_training(q, k, v, k_h, strength=g, plan=plan)

    leaves = (query.detach().requires_grad_(), key.detach().requires_grad_(),
              value.detach().requires_grad_(), human_keys, gate)  # fmt: skip
    assert torch.autograd.gradcheck(call, leaves)


def test_frozen_keys_and_values_get_no_gradient_and_no_map_is_kept() -> None:
    query, key, value, key_h = _inputs(torch.float32, pixels=400)
    query.requires_grad_()
    key_h.requires_grad_()
    plan, kept = _plan(MASK[[0, 2, 0]]), []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out, maps = attend_in_training(query, key, value, key_h, strength=1.0, plan=plan)
    assert {t.data_ptr() for t in kept if t.ndim} == {
        t.data_ptr() for t in (query, key, value, key_h)
    }
    (out.sum() + maps.sum()).backward()
    assert key.grad is None
    assert value.grad is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_finite_float32_maps(dtype: torch.dtype) -> None:
    query, key, value, key_h = (x.requires_grad_() for x in _inputs(dtype))
    plan = _plan(MASK[[0, 2, 0]])
    out, maps = attend_in_training(query, key, value, key_h, strength=1.0, plan=plan)
    assert (out.dtype, maps.dtype) == (dtype, torch.float32)
    (out.float().sum() + maps.sum()).backward()
    for leaf in (query, key, value, key_h):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
