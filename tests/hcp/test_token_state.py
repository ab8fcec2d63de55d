"""Which tokens of the running batch are human: selection, plans of rows, remembered keys."""

import pytest
import torch
from torch import Tensor

from hcp.row_plan import RowPlan
from hcp.token_state import TokenState

MASK = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)


def state_of(mask: Tensor, *, kinds: Tensor | None = None) -> TokenState:
    state = TokenState()
    state.set(mask, kinds=kinds)
    return state


def plan_of(state: TokenState, rows: int) -> RowPlan:
    plan = state.plan(torch.zeros(rows, 4, 8))
    assert plan is not None
    return plan


def test_human_tokens_are_packed_to_the_left() -> None:
    selection = state_of(MASK, kinds=torch.tensor([[0, 2, 9, 1], [0] * 4, [0, 0, 3, 0]])).selection
    assert selection is not None
    assert selection.columns.tolist() == [[1, 3], [0, 0], [2, 0]]
    assert selection.valid.tolist() == [[True, True], [False, False], [True, False]]
    assert selection.kinds is not None
    assert selection.kinds.tolist() == [[2, 1], [0, 0], [3, 0]]


def test_a_plan_touches_only_rows_with_human_tokens() -> None:
    plan = plan_of(state_of(MASK), 3)
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    taken = plan.take(rows)
    assert torch.equal(taken, rows[[0, 2]])
    assert torch.equal(plan.token_mask, MASK[[0, 2]])
    added = plan.add(rows, torch.ones(2, 4))
    assert torch.equal(added[1], rows[1])
    assert torch.equal(added[[0, 2]], rows[[0, 2]] + 1)
    replaced = plan.put(rows, torch.ones(2, 4, dtype=torch.float64))
    assert replaced.dtype == rows.dtype
    assert torch.equal(replaced[1], rows[1])
    assert torch.equal(replaced[[0, 2]], torch.ones(2, 4))
    assert torch.equal(plan.spread(taken), rows * torch.tensor([[1.0], [0.0], [1.0]]))


def test_a_plan_of_all_rows_needs_no_index() -> None:
    plan = plan_of(state_of(MASK[[0, 2]]), 2)
    rows = torch.ones(2, 4)
    assert plan.index is None
    assert plan.take(rows) is rows
    assert torch.equal(plan.add(rows, rows), 2 * rows)
    assert plan.put(rows, taken := 3 * rows) is taken
    assert plan.spread(rows) is rows


def test_nobody_human_is_no_plan_and_silence_is_an_error() -> None:
    assert state_of(torch.zeros(2, 4, dtype=torch.bool)).plan(torch.zeros(2, 4, 8)) is None
    state = state_of(MASK)
    for rows, tokens in ((2, 4), (3, 5), (6, 4)):
        with pytest.raises(ValueError, match=f"{rows} rows of {tokens}"):
            state.plan(torch.zeros(rows, tokens, 8))
    state.clear()
    with pytest.raises(ValueError, match="unknown"):
        state.plan(torch.zeros(3, 4, 8))


def test_wrong_masks_are_refused() -> None:
    for mask, kinds in ((MASK[0], None), (MASK, torch.zeros(3, 5, dtype=torch.long))):
        with pytest.raises(ValueError, match=r"\[N, K\]"):
            state_of(mask, kinds=kinds)


def test_what_was_made_belongs_to_unchanged_sources() -> None:
    state, text, weight, made = state_of(MASK), torch.ones(3, 4, 8), torch.ones(2), (MASK,)
    state.remember("a", [text, weight], made)
    assert state.remembered("a", [text, weight]) is made
    assert state.remembered("b", [text, weight]) is None
    assert state.remembered("a", [text]) is None
    assert state.remembered("a", [text.clone(), weight]) is None
    for changed in (text, weight):
        changed.add_(1)
        assert state.remembered("a", [text, weight]) is None
        state.remember("a", [text, weight], made)
    state.set(MASK)
    assert state.remembered("a", [text, weight]) is None
