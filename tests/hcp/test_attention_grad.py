"""Attention of a training step equals the formulas of hcp.attention, gradients included."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention as attention

from hcp import attention_grad
from hcp.attention import human_attention, map_columns
from hcp.attention_grad import attention_in_training
from hcp.row_plan import RowPlan
from hcp.token_state import TokenState

MASK = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
CASES = {
    "all": MASK[[0, 2]],
    "one": MASK[[2]],
    "some": MASK,
    "first_token": MASK[[0, 2]].roll(1, dims=1),
}


def _inputs(mask: Tensor = MASK, *, pixels: int = 6) -> list[Tensor]:
    # query, key, value of all rows, human keys of those with human tokens
    generator = torch.Generator().manual_seed(0)
    query, key, value, key_h = (
        torch.randn(len(mask), 2, length, 4, generator=generator, dtype=torch.float64)
        for length in (pixels, 5, 5, 5)
    )
    return [query, key, value, key_h[mask.any(dim=1)]]


def _plan(mask: Tensor) -> RowPlan:
    state = TokenState()
    state.set(mask)
    plan = state.plan(torch.zeros(*mask.shape, 1))
    assert plan is not None
    return plan


def _formulas(
    query: Tensor, key: Tensor, value: Tensor, key_h: Tensor, mask: Tensor
) -> list[Tensor]:
    some, columns = mask.any(dim=1), _plan(mask).columns
    human = human_attention(query[some], key_h, value[some], mask[some])
    return [attention(query, key, value), human, map_columns(query[some], key_h, columns)]


@pytest.mark.parametrize("trains", ["queries", "all"])
@pytest.mark.parametrize("chunk", [1, 1 << 20], ids=["head_by_head", "at_once"])
@pytest.mark.parametrize("case", list(CASES))
def test_terms_maps_and_gradients_are_those_of_the_formulas(
    case: str, chunk: int, trains: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_grad, "_CHUNK_CPU", chunk)
    mask = CASES[case]
    found: list[list[Tensor]] = []
    for ours in (True, False):
        inputs = _inputs(mask)
        leaves = [x.requires_grad_() for x in (inputs if trains == "all" else inputs[::3])]
        out = [*attention_in_training(*inputs, _plan(mask))] if ours else _formulas(*inputs, mask)
        loss = torch.stack([(x.square() * x.detach().cos()).sum() for x in out]).sum()
        found.append([*out, *torch.autograd.grad(loss, leaves)])
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_gradients_in_float64() -> None:
    query, key, value, key_h = _inputs(pixels=3)
    leaves = [x.requires_grad_() for x in (query, key_h, key_h.detach() + 1)]
    plan = _plan(MASK)
    assert torch.autograd.gradcheck(
        lambda q, k_h, v_h: attention_in_training(q, key, value, k_h, plan, value_h=v_h), leaves
    )


@pytest.mark.parametrize("used", [0, 1, 2])
def test_any_output_alone_has_its_gradient(used: int) -> None:
    query, key, value, key_h = _inputs()
    leaves = (query.requires_grad_(), key_h.requires_grad_())
    found: list[tuple[Tensor, ...]] = []
    for out in (
        attention_in_training(query, key, value, key_h, _plan(MASK)),
        _formulas(query, key, value, key_h, MASK),
    ):
        found.append(
            torch.autograd.grad(
                out[used].square().sum(), leaves, allow_unused=True, materialize_grads=True
            )
        )
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_nothing_but_projections_and_human_columns_is_kept() -> None:
    query, key, value, key_h = _inputs()
    query.requires_grad_()
    kept: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        attention_in_training(query, key, value, key_h, _plan(MASK))
    *others, values, columns = kept
    expected = [query, key, value, key_h]
    assert [t.data_ptr() for t in others] == [t.data_ptr() for t in expected]
    assert values.shape == (2, 2, 2, 4)  # V of the human tokens alone
    assert columns.shape == (*query[[0, 2]].shape[:3], 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_float32_terms_and_finite_gradients(dtype: torch.dtype) -> None:
    query, key, value, key_h = (x.to(dtype) for x in _inputs())
    leaves = (query.requires_grad_(), key_h.requires_grad_())
    found = attention_in_training(query, key, value, key_h, _plan(MASK))
    assert {each.dtype for each in found} == {torch.float32}
    grads = torch.autograd.grad(sum(each.sum() for each in found), leaves)
    assert all(grad.dtype == dtype and grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("trains", ["queries", "all"])
def test_autocast_leaves_the_terms_and_maps_wide(trains: str) -> None:
    inputs = [x.float() for x in _inputs()]
    for leaf in inputs if trains == "all" else inputs[::3]:
        leaf.requires_grad_()
    expected = attention_in_training(*inputs, _plan(MASK))
    with torch.autocast("cpu", torch.bfloat16):
        found = attention_in_training(*inputs, _plan(MASK))
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
