"""The human term and its maps in training: one pass, with a backward of its own.

The formulas are those of ``hcp.attention``. Left to autograd, two fused kernels (the term, and the
columns of its map) each compute the softmax twice and keep their output for the backward pass.
Here the softmax is computed once in each direction, a few rows at a time; nothing but projections
is kept, and beside the softmax only the few human columns are touched.

R rows, H heads, Q latent pixels, K text tokens, J human tokens, d head width. P = M_h, P_J its
human columns, G_J their gradient. The softmax couples all columns:
``dS = P_J G_J (in the human columns) - r P``, ``r = sum over J of P_J G_J``.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor

from hcp.attention import map_dtype
from hcp.token_state import RowPlan

_CHUNK = 1 << 20
"""Elements of M_h in memory at a time, about; at least one row's."""


def human_in_training(
    query: Tensor, key_h: Tensor, value: Tensor, plan: RowPlan
) -> tuple[Tensor, Tensor]:
    """``(M_h o m) V`` and the head mean of M_h at the plan's columns.

    Args:
        query: [R, H, Q, d].
        key_h: [R, H, K, d].
        value: [R, H, K, d].
        plan: token mask and columns of the R rows.
    Returns:
        [R, H, Q, d] in the query's type, and [R, Q, J] in float32 (float64 for float64).
    """
    return cast(tuple[Tensor, Tensor], _Human.apply(query, key_h, value, plan))


class _Human(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, query: Tensor, key_h: Tensor, value: Tensor, plan: RowPlan
    ) -> tuple[Tensor, Tensor]:
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(query, key_h, value)
        updates: list[Tensor] = []
        columns: list[Tensor] = []
        with torch.autocast(query.device.type, enabled=False):
            for rows in _chunks(query, key_h):
                human = _softmax(query[rows], key_h[rows])
                picked = _columns(human, plan.columns[rows])
                columns.append(picked.mean(dim=1))
                updates.append((picked @ _values(value, plan, rows)).to(query.dtype))
        return torch.cat(updates), torch.cat(columns)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        query, key_h, value = ctx.saved_tensors
        parts: list[list[Tensor]] = []
        with torch.autocast(query.device.type, enabled=False):
            for rows in _chunks(query, key_h):
                given = [None if grad is None else grad[rows] for grad in grads]
                parts.append(_backward(query, key_h, value, ctx.plan, rows, given))
        grad_q, grad_k, grad_v = (torch.cat(part) for part in zip(*parts, strict=True))
        return grad_q, grad_k, grad_v if ctx.needs_input_grad[2] else None, None


def _backward(
    query: Tensor,
    key_h: Tensor,
    value: Tensor,
    plan: RowPlan,
    rows: slice,
    grads: list[Tensor | None],
) -> list[Tensor]:
    grad_update, grad_columns = grads
    human = _softmax(query[rows], key_h[rows])
    picked = _columns(human, plan.columns[rows])  # P_J [R, H, Q, J]
    grad_picked = torch.zeros_like(picked)  # G_J
    grad_v = torch.zeros_like(value[rows])
    if grad_update is not None:
        grad_update = grad_update.to(human.dtype)
        grad_picked = grad_update @ _values(value, plan, rows).transpose(-1, -2)
        valid = _valid(plan, rows)[:, None, :, None].to(human.dtype)
        own = valid * (picked.transpose(-1, -2) @ grad_update)
        grad_v = _spread(own, plan.columns[rows], like=value[rows])
    if grad_columns is not None:
        grad_picked = grad_picked + grad_columns.to(human.dtype)[:, None] / human.shape[1]
    through = picked * grad_picked
    total = through.sum(dim=-1, keepdim=True)  # r
    scale = query.shape[-1] ** -0.5
    wide_q, wide_k = query[rows].to(human.dtype), key_h[rows].to(human.dtype)
    own_keys = _take(wide_k, plan.columns[rows])
    grad_q = (through @ own_keys - total * (human @ wide_k)) * scale
    grad_k = _spread(through.transpose(-1, -2) @ wide_q, plan.columns[rows], like=wide_k)
    grad_k = (grad_k - human.transpose(-1, -2) @ (total * wide_q)) * scale
    return [grad_q.to(query.dtype), grad_k.to(key_h.dtype), grad_v]


def _chunks(query: Tensor, key_h: Tensor) -> Iterator[slice]:
    rows, heads, pixels, _ = query.shape
    step = max(1, _CHUNK // (heads * pixels * key_h.shape[2]))
    return (slice(start, start + step) for start in range(0, rows, step))


def _softmax(query: Tensor, key: Tensor) -> Tensor:
    wide = map_dtype(query)
    scaled = query.to(wide) * query.shape[-1] ** -0.5
    return (scaled @ key.to(wide).transpose(-1, -2)).softmax(dim=-1)


def _columns(human: Tensor, columns: Tensor) -> Tensor:
    # [R, H, Q, K] at [R, J] -> [R, H, Q, J]
    return human.gather(3, columns[:, None, None].expand(-1, *human.shape[1:3], -1))


def _take(tokens: Tensor, columns: Tensor) -> Tensor:
    # [R, H, K, d] at [R, J] -> [R, H, J, d]
    index = columns[:, None, :, None].expand(-1, tokens.shape[1], -1, tokens.shape[3])
    return tokens.gather(2, index)


def _spread(picked: Tensor, columns: Tensor, *, like: Tensor) -> Tensor:
    # The inverse of _take: [R, H, J, d] added up at [R, J] -> [R, H, K, d]
    index = columns[:, None, :, None].expand_as(picked)
    return torch.zeros_like(like).scatter_add_(2, index, picked.to(like.dtype))


def _values(value: Tensor, plan: RowPlan, rows: slice) -> Tensor:
    # V of the human tokens in the softmax's type, zero where a row has fewer than J.
    wide = map_dtype(value)
    valid = _valid(plan, rows)[:, None, :, None]
    return _take(value[rows], plan.columns[rows]).to(wide) * valid.to(wide)


def _valid(plan: RowPlan, rows: slice) -> Tensor:
    mask = plan.token_mask[rows]
    places = torch.arange(plan.columns.shape[1], device=mask.device)
    return places < mask.sum(dim=1, keepdim=True)
