"""Cross-attention in training: both terms of the fused map and the human map, in one pass.

The formulas are those of ``hcp.attention``; the backward pass is written out. Left to autograd,
three fused kernels (the frozen term, the human term, the columns of its map) would each compute a
softmax again, and gradients of keys and values that nobody wants. Here the maps are made a few
heads at a time, once in each direction, and never kept.

B rows, R of them with human tokens, H heads, Q latent pixels, K text tokens, J human tokens, d
head width. P = M and G the gradient of its term; P_h = M_h, and G_J the gradient of its human
columns P_J. A softmax couples all its columns: ``dS = P (G V^T - r)``, r the rows' sums of P G V^T;
``dS_h = P_J G_J (in the human columns) - r_h P_h``, r_h the rows' sums of P_J G_J.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hcp.attention import attention_probs, human_attention, map_columns, map_dtype, wide_attention
from hcp.row_plan import RowPlan

aten: Any = torch.ops.aten  # what torch's own derivatives are made of

_CHUNK_CPU, _CHUNK = 1 << 17, 1 << 24
"""Elements of the maps in memory at a time, about; at least one head's. Fits a CPU's cache."""


def attention_in_training(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_h: Tensor,
    plan: RowPlan,
    *,
    value_h: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """``M V`` in all rows; ``(M_h o m) V_h`` and the columns of M_h in those with human tokens.

    Args:
        query: [B, H, Q, d].
        key: [B, H, K, d].
        value: [B, H, K, d].
        key_h: [R, H, K, d].
        plan: which rows of B the R are, with their token mask and columns.
        value_h: [R, H, K, d], V_h of the human term; None: the frozen V of those rows.
    Returns:
        [B, H, Q, d], [R, H, Q, d] and the head mean [R, Q, J], all in ``map_dtype``.
    """
    if value_h is None:
        value_h = plan.take(value)
    if key.requires_grad or value.requires_grad:  # more trains than HcP
        rows = plan.take(query)
        human = human_attention(rows, key_h, value_h, plan.token_mask)
        columns = map_columns(rows, key_h, plan.columns)
        return wide_attention(query, key, value), human, columns
    picked = _human_values(value_h, plan)
    terms = _Attention.apply(query, key, value, key_h, picked, plan)
    return cast(tuple[Tensor, Tensor, Tensor], terms)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_h: Tensor,
        human_values: Tensor,
        plan: RowPlan,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.plan = plan
        with torch.autocast(query.device.type, enabled=False):
            out = wide_attention(query, key, value)
            picked = _human_columns(plan.take(query), key_h, plan.columns)
            update = picked @ human_values
        ctx.save_for_backward(query, key, value, key_h, human_values, picked)
        return out, update, picked.mean(dim=1)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor, grad_update: Tensor, grad_columns: Tensor
    ) -> tuple[Any, ...]:
        plan: RowPlan = ctx.plan
        query, key, value, key_h, human_values, picked = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            rows, wide_h = plan.take(query).to(picked.dtype), key_h.to(picked.dtype)
            grad_values = picked.mT @ grad_update if ctx.needs_input_grad[4] else None
            through = grad_update @ human_values.mT  # G_J
            through = (through + grad_columns[:, None] / picked.shape[1]) * picked
            grad_q = _frozen_gradient(query, key, value, grad)
            human_q, grad_h = _human_gradients(rows, wide_h, through)
            human_q = human_q + through @ _take(wide_h, plan.columns)
            grad_h = grad_h + _spread(through.mT @ rows, plan.columns, like=wide_h)
            grad_q = plan.add(grad_q, human_q)
            scale = query.shape[-1] ** -0.5
        grad_q, grad_h = (grad_q * scale).to(query.dtype), (grad_h * scale).to(key_h.dtype)
        return grad_q, None, None, grad_h, grad_values, None


def _human_columns(query: Tensor, key_h: Tensor, columns: Tensor) -> Tensor:
    # The human columns P_J of M_h, [R, H, Q, J].
    heads, pixels = query.shape[1:3]
    index = columns.repeat_interleave(heads, dim=0)[:, None].expand(-1, pixels, -1)
    maps = _softmax(_flat(query), _flat(key_h))
    found = torch.cat([each.gather(2, index[some]) for some, each in maps])
    return found.unflatten(0, query.shape[:2])


# Products with maps are computed transposed, where their long side stays last: narrow results are
# slow on CPUs. Gradients of logits: those of queries and keys times sqrt d.


def _frozen_gradient(query: Tensor, key: Tensor, value: Tensor, grad: Tensor) -> Tensor:
    # Of queries by the frozen term, dS K: [B, H, Q, d].
    queries, keys, values, grads = (_flat(each) for each in (query, key, value, grad))
    found: list[Tensor] = []
    for some, maps in _softmax(queries, keys):
        weights = grads[some] @ values[some].mT
        by_logit = aten._softmax_backward_data(weights, maps, -1, maps.dtype)
        found.append(keys[some].mT @ by_logit.mT)
    return torch.cat(found).mT.unflatten(0, query.shape[:2])


def _human_gradients(query: Tensor, key_h: Tensor, through: Tensor) -> tuple[Tensor, Tensor]:
    # Of queries and K_h, without what the human columns have of their own: dS_h = - r_h P_h
    queries, keys = _flat(query), _flat(key_h)
    minus_sums = _flat(-through.sum(dim=-1, keepdim=True))
    to_query: list[Tensor] = []
    to_human: list[Tensor] = []
    for some, maps in _softmax(queries, keys):
        maps.mul_(minus_sums[some])
        to_query.append(keys[some].mT @ maps.mT)
        to_human.append(queries[some].mT @ maps)
    shape = query.shape[:2]
    grad_q, grad_h = (torch.cat(each).mT.unflatten(0, shape) for each in (to_query, to_human))
    return grad_q, grad_h


def _softmax(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
    # Slices of heads and their maps [., Q, K].
    chunk = _CHUNK_CPU if queries.device.type == "cpu" else _CHUNK
    step = max(1, chunk // (queries.shape[1] * keys.shape[1]))
    for start in range(0, len(queries), step):
        some = slice(start, start + step)
        yield some, attention_probs(queries[some], keys[some])


def _flat(tensor: Tensor) -> Tensor:
    # [B, H, ...] -> [B * H, ...] in the softmax's type
    return tensor.to(map_dtype(tensor)).reshape(-1, *tensor.shape[2:])


def _take(tokens: Tensor, columns: Tensor) -> Tensor:
    # [R, H, K, d] at [R, J] -> [R, H, J, d]
    index = columns[:, None, :, None].expand(-1, tokens.shape[1], -1, tokens.shape[3])
    return tokens.gather(2, index)


def _spread(picked: Tensor, columns: Tensor, *, like: Tensor) -> Tensor:
    # The inverse of _take: [R, H, J, d] added up at [R, J] -> [R, H, K, d]
    index = columns[:, None, :, None].expand_as(picked)
    return torch.zeros_like(like).scatter_add_(2, index, picked)


def _human_values(value_h: Tensor, plan: RowPlan) -> Tensor:
    # [R, H, K, d] -> V_h of the human tokens [R, H, J, d], zero where a row has fewer than J.
    found = _take(value_h, plan.columns).to(map_dtype(value_h))
    places = torch.arange(plan.columns.shape[1], device=value_h.device)
    valid = places < plan.token_mask.sum(dim=1, keepdim=True)
    return found * valid[:, None, :, None]
