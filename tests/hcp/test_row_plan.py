"""Plans of rows: only rows with human tokens are touched."""

import torch

from hcp.row_plan import RowPlan, plan_rows, select_tokens

MASK = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)


def plan_of(mask: torch.Tensor) -> RowPlan:
    plan = plan_rows(mask)
    assert plan is not None
    return plan


def test_human_tokens_are_packed_to_the_left() -> None:
    selection = select_tokens(MASK, torch.tensor([[0, 2, 9, 1], [0] * 4, [0, 0, 3, 0]]))
    assert selection.columns.tolist() == [[1, 3], [0, 0], [2, 0]]
    assert selection.valid.tolist() == [[True, True], [False, False], [True, False]]
    assert selection.kinds is not None
    assert selection.kinds.tolist() == [[2, 1], [0, 0], [3, 0]]


def test_a_plan_touches_only_rows_with_human_tokens() -> None:
    plan = plan_of(MASK)
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
    plan = plan_of(MASK[[0, 2]])
    rows = torch.ones(2, 4)
    assert plan.index is None
    assert plan.take(rows) is rows
    assert torch.equal(plan.add(rows, rows), 2 * rows)
    assert plan.put(rows, taken := 3 * rows) is taken
    assert plan.spread(rows) is rows


def test_nobody_human_is_no_plan() -> None:
    assert plan_rows(torch.zeros(2, 4, dtype=torch.bool)) is None
    assert select_tokens(torch.zeros(0, 4, dtype=torch.bool)).columns.shape == (0, 1)
