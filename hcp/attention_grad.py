"""Cross-attention in training: the human term with its maps, and the frozen part beside it.

The formulas are those of ``hcp.attention``; the backward passes are written out. Left to autograd,
two fused kernels (the human term, and the columns of its map) would each compute the softmax twice,
and the frozen attention would compute gradients of keys and values that nobody wants. Here a
softmax is computed once in each direction, a few heads at a time, and never kept.

R rows, H heads, Q latent pixels, K text tokens, J human tokens, d head width. P = M_h, P_J its
human columns, G_J their gradient. The softmax couples all columns:
``dS = P_J G_J (in the human columns) - r P``, ``r = sum over J of P_J G_J``.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hcp.attention import map_dtype, wide_attention
from hcp.token_state import RowPlan

_CHUNK_CPU, _CHUNK = 1 << 17, 1 << 24
"""Elements of a map in memory at a time, about; at least one head's. On CPUs it fits their caches."""


def frozen_in_training(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``softmax(Q K^T / sqrt d) V``, with no gradient of keys and values where none is wanted.

    Args:
        query: [R, H, Q, d].
        key: [R, H, K, d].
        value: [R, H, K, d].
    Returns:
        [R, H, Q, d] in ``map_dtype``.
    """
    if key.requires_grad or value.requires_grad:
        return wide_attention(query, key, value)
    return cast(Tensor, _Frozen.apply(query, key, value))


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
        [R, H, Q, d] and [R, Q, J], in ``map_dtype``.
    """
    return cast(tuple[Tensor, Tensor], _Human.apply(query, key_h, value, plan))


class _Frozen(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, query: Tensor, key: Tensor, value: Tensor
    ) -> Tensor:
        out = wide_attention(query, key, value)
        ctx.save_for_backward(query, key, value, out.to(query.dtype))
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, None, None]:
        # dQ = dS K / sqrt d with dS = P (G V^T - r), r = rows of G times the output.
        query, key, value, out = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            grads, queries, keys, values = (_flat(each) for each in (grad, query, key, value))
            total = (grads * _flat(out)).sum(dim=-1, keepdim=True)
            parts: list[Tensor] = []
            for some, attn in _softmax(queries, keys):
                through = (grads[some] @ values[some].mT).sub_(total[some]).mul_(attn)
                parts.append(keys[some].mT @ through.mT)
            grad_q = torch.cat(parts).mT.view_as(query) * query.shape[-1] ** -0.5
        return grad_q.to(query.dtype), None, None


class _Human(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, query: Tensor, key_h: Tensor, value: Tensor, plan: RowPlan
    ) -> tuple[Tensor, Tensor]:
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        with torch.autocast(query.device.type, enabled=False):
            heads, pixels = query.shape[1:3]
            index = plan.columns.repeat_interleave(heads, dim=0)[:, None].expand(-1, pixels, -1)
            maps = _softmax(_flat(query), _flat(key_h))
            picked = torch.cat([human.gather(2, index[some]) for some, human in maps])
            picked = picked.view(*query.shape[:3], -1)  # P_J [R, H, Q, J]
            update = picked @ _values(value, plan)
        ctx.save_for_backward(query, key_h, value, picked)
        return update, picked.mean(dim=1)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor | None
    ) -> tuple[Any, ...]:
        plan: RowPlan = ctx.plan
        query, key_h, value, picked = ctx.saved_tensors
        grad_update, grad_columns = grads
        grad_v: Tensor | None = None
        with torch.autocast(query.device.type, enabled=False):
            grad_picked = torch.zeros_like(picked)  # G_J
            if grad_update is not None:
                grad_picked = grad_update @ _values(value, plan).transpose(-1, -2)
                if ctx.needs_input_grad[2]:
                    own = picked.transpose(-1, -2) @ grad_update
                    grad_v = _spread(own * _valid(plan, own), plan.columns, like=value)
            if grad_columns is not None:
                grad_picked = grad_picked + grad_columns.to(picked.dtype)[:, None] / picked.shape[1]
            grad_q, grad_k = _through_softmax(query, key_h, plan, picked * grad_picked)
        return grad_q, grad_k, grad_v, None


def _through_softmax(
    query: Tensor, key_h: Tensor, plan: RowPlan, through: Tensor
) -> tuple[Tensor, Tensor]:
    # `through`: P_J G_J [R, H, Q, J]. Products with the softmax are computed transposed, where its
    # long side stays last: narrow results are slow on CPUs.
    total = through.sum(dim=-1, keepdim=True)  # r
    queries, keys = _flat(query), _flat(key_h)
    weighted = _flat(total) * queries
    to_query: list[Tensor] = []
    to_key: list[Tensor] = []
    for some, human in _softmax(queries, keys):
        to_query.append(keys[some].mT @ human.mT)
        to_key.append(weighted[some].mT @ human)
    common_q = torch.cat(to_query).mT.view_as(query)
    common_k = torch.cat(to_key).mT.view_as(key_h)
    scale = query.shape[-1] ** -0.5
    wide_k = keys.view_as(key_h)
    grad_q = through @ _take(wide_k, plan.columns) - total * common_q
    own = through.transpose(-1, -2) @ queries.view_as(query)
    grad_k = _spread(own, plan.columns, like=wide_k) - common_k
    return (grad_q * scale).to(query.dtype), (grad_k * scale).to(key_h.dtype)


def _softmax(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
    # Slices of the R * H heads, row after row, and their maps [., Q, K]; from _flat.
    queries = queries * queries.shape[-1] ** -0.5
    chunk = _CHUNK_CPU if queries.device.type == "cpu" else _CHUNK
    step = max(1, chunk // (queries.shape[1] * keys.shape[1]))
    for start in range(0, len(queries), step):
        some = slice(start, start + step)
        yield some, (queries[some] @ keys[some].mT).softmax(dim=-1)


def _flat(tensor: Tensor) -> Tensor:
    # [R, H, ...] -> [R * H, ...] in the softmax's type
    return tensor.to(map_dtype(tensor)).reshape(-1, *tensor.shape[2:])


def _take(tokens: Tensor, columns: Tensor) -> Tensor:
    # [R, H, K, d] at [R, J] -> [R, H, J, d]
    index = columns[:, None, :, None].expand(-1, tokens.shape[1], -1, tokens.shape[3])
    return tokens.gather(2, index)


def _spread(picked: Tensor, columns: Tensor, *, like: Tensor) -> Tensor:
    # The inverse of _take: [R, H, J, d] added up at [R, J] -> [R, H, K, d]
    index = columns[:, None, :, None].expand_as(picked)
    return torch.zeros_like(like).scatter_add_(2, index, picked.to(like.dtype))


def _values(value: Tensor, plan: RowPlan) -> Tensor:
    # V of the human tokens in the softmax's type, zero where a row has fewer than J.
    found = _take(value, plan.columns).to(map_dtype(value))
    return found * _valid(plan, found)


def _valid(plan: RowPlan, like: Tensor) -> Tensor:
    # [R, 1, J, 1]: 1 where the row has a J-th human token
    places = torch.arange(plan.columns.shape[1], device=plan.token_mask.device)
    valid = places < plan.token_mask.sum(dim=1, keepdim=True)
    return valid[:, None, :, None].to(like)
