"""Which tokens of the running batch are human: selection, plans of rows, remembered keys."""

import pytest
import torch
from torch import Tensor

from hcp.token_state import TokenState

MASK = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)


def state_of(mask: Tensor, *, kinds: Tensor | None = None) -> TokenState:
    state = TokenState()
    state.set(mask, kinds=kinds)
    return state


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
