"""Human tokens inside ``torch.compile``: one graph for every prompt, strength and row layout.

Which rows are human is asked by an operator that the compiler cannot look into, when the graph
runs; what comes out has the same shapes for all prompts. So nothing that a prompt changes is part
of the graph, and nothing of it is guarded.

B batch rows of the U-Net, K text tokens.
"""

from itertools import count
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from hcp.row_plan import DensePlan
from hcp.token_state import TokenState

_STATES: WeakValueDictionary[int, TokenState] = WeakValueDictionary()
_numbers = count()


def numbered(state: TokenState) -> int:
    """The number by which graphs know a state, for as long as it lives."""
    number = next(_numbers)
    _STATES[number] = state
    return number


def dense_plan(text: Tensor, number: int) -> DensePlan:
    """The plan for a U-Net batch of text embeddings [B, K, C], by the state of that number.

    Raises:
        ValueError: when the graph runs, as ``TokenState.plan``.
    """
    token_mask, scale = _human_tokens(text, number)
    return DensePlan(token_mask=token_mask, scale=scale)


def _look_up(text: Tensor, number: int) -> tuple[Tensor, Tensor]:
    mask, scale = _STATES[number].dense(text)
    # Copies: the compiler may write into what an operator returns.
    return mask.to(text.device, copy=True), scale.to(text.device)


def _shapes(text: Tensor, number: int) -> tuple[Tensor, Tensor]:
    del number
    mask = text.new_empty(text.shape[:2], dtype=torch.bool)
    return mask, text.new_empty((), dtype=torch.float32)


_unsafe = getattr(torch.Tag, "cudagraph_unsafe", None)  # it waits for the device; torch 2.9 on
_tags: dict[str, Any] = {} if _unsafe is None else {"tags": [_unsafe]}
_human_tokens: Any = torch.library.custom_op(
    "hcp::human_tokens",
    _look_up,
    mutates_args=(),
    schema="(Tensor text, int number) -> (Tensor, Tensor)",
    **_tags,
)
_human_tokens.register_fake(_shapes)
