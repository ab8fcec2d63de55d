"""Attention of a training step equals the formulas of hcp.attention, gradients included."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attention

from hcp import attention_grad
from hcp.attention import human_attention, human_map_columns
from hcp.attention_grad import frozen_in_training, human_in_training
from hcp.token_state import RowPlan, TokenState

MASK = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)


def _inputs(*, pixels: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(3, 2, length, 4, generator=generator, dtype=torch.float64)
        for length in (pixels, 5, 5)
    ]


def _plan(mask: Tensor) -> RowPlan:
    state = TokenState()
    state.set(mask)
    plan = state.plan(torch.zeros(*mask.shape, 1))
    assert plan is not None
    return plan


CASES = {"some": MASK[[0, 2]], "one": MASK[[2]], "first_token": MASK[[0, 2]].roll(1, dims=1)}


@pytest.mark.parametrize("chunk", [1, 1 << 20], ids=["row_by_row", "at_once"])
@pytest.mark.parametrize("case", list(CASES))
def test_output_maps_and_gradients_are_those_of_the_formulas(
    case: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_grad, "_CHUNK_CPU", chunk)
    mask = CASES[case]
    plan = _plan(mask)
    found: list[list[Tensor]] = []
    for ours in (True, False):
        query, key_h, value = (x[: len(mask)].clone().requires_grad_() for x in _inputs())
        if ours:
            out, maps = human_in_training(query, key_h, value, plan)
        else:
            out = human_attention(query, key_h, value, mask)
            maps = human_map_columns(query, key_h, plan.columns)
        (out.square().sum() + (maps * maps.detach().cos()).sum()).backward()
        grads = [x.grad for x in (query, key_h, value)]
        found.append([out, maps, *(g for g in grads if g is not None)])
    assert len(found[0]) == len(found[1]) == 5
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_gradients_in_float64() -> None:
    plan = _plan(MASK[[0, 2]])
    leaves = [x[:2].clone().requires_grad_() for x in _inputs(pixels=3)]
    assert torch.autograd.gradcheck(lambda *x: human_in_training(*x, plan), leaves)


def test_one_of_the_two_outputs_may_go_unused() -> None:
    plan = _plan(MASK[[0, 2]])
    for used in (0, 1):
        query, key_h, value = (x[:2].clone().requires_grad_() for x in _inputs())
        human_in_training(query, key_h, value, plan)[used].sum().backward()
        assert key_h.grad is not None
        assert key_h.grad.abs().sum() > 0


def test_nothing_but_the_projections_and_the_human_columns_is_kept() -> None:
    query, key_h, value = (x[:2] for x in _inputs())
    query.requires_grad_()
    kept: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        human_in_training(query, key_h, value, _plan(MASK[[0, 2]]))
    *projections, columns = kept
    assert [t.data_ptr() for t in projections] == [t.data_ptr() for t in (query, key_h, value)]
    assert columns.shape == (*query.shape[:3], 2)


@pytest.mark.parametrize("chunk", [1, 1 << 20], ids=["head_by_head", "at_once"])
def test_the_frozen_part_gives_its_query_autograds_gradient(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(attention_grad, "_CHUNK_CPU", chunk)
    query, key, value = _inputs()
    query.requires_grad_()
    ours, reference = frozen_in_training(query, key, value), attention(query, key, value)
    assert torch.equal(ours, reference)
    weights = torch.randn_like(ours)
    (found,) = torch.autograd.grad((ours * weights).sum(), query)
    (expected,) = torch.autograd.grad((reference * weights).sum(), query)
    assert torch.allclose(found, expected, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: frozen_in_training(x, key, value), query)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_float32_maps_and_finite_gradients(dtype: torch.dtype) -> None:
    query, key_h, value = (x[:2].to(dtype).requires_grad_() for x in _inputs())
    out, maps = human_in_training(query, key_h, value, _plan(MASK[[0, 2]]))
    assert (out.dtype, maps.dtype) == (torch.float32, torch.float32)
    (out.float().sum() + maps.sum()).backward()
    for leaf in (query, key_h, value):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
