"""Cross-attention in training: both terms of the fused map and the human map, in one pass.

The formulas are those of ``hcp.attention``; the backward pass is written out. Left to autograd,
three fused kernels (the frozen term, the human term, the columns of its map) would each compute a
softmax again, and gradients of keys and values that nobody wants. Here both softmaxes are computed
side by side, a few heads at a time, and never kept.

B rows, R of them with human tokens, H heads, Q latent pixels, K text tokens, J human tokens, d
head width. P = M and G the gradient of its term; P_h = M_h, and G_J the gradient of its human
columns P_J. A softmax couples all its columns: ``dS = P (G V^T - r)``, r the rows' sums of G times
the term; ``dS_h = P_J G_J (in the human columns) - r_h P_h``, r_h the rows' sums of P_J G_J.
"""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hcp.attention import attention_probs, human_attention, map_columns, map_dtype, wide_attention
from hcp.token_state import RowPlan

_CHUNK_CPU, _CHUNK = 1 << 18, 1 << 24
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
            rows = plan.take(query)
            heads, pixels = rows.shape[1:3]
            index = plan.columns.repeat_interleave(heads, dim=0)[:, None].expand(-1, pixels, -1)
            maps = _softmax(_flat(rows), _flat(key_h), n_maps=1)
            picked = torch.cat([human.gather(2, index[some]) for some, human in maps])
            picked = picked.view(*rows.shape[:3], -1)  # P_J [R, H, Q, J]
            update = picked @ human_values
        term = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, key_h, human_values, term, picked)
        return out, update, picked.mean(dim=1)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor, grad_update: Tensor, grad_columns: Tensor
    ) -> tuple[Any, ...]:
        plan: RowPlan = ctx.plan
        query, key, value, key_h, human_values, out, picked = ctx.saved_tensors
        wide = picked.dtype
        with torch.autocast(query.device.type, enabled=False):
            rows, wide_h = plan.take(query).to(wide), key_h.to(wide)
            grad_values = picked.mT @ grad_update if ctx.needs_input_grad[4] else None
            through = grad_update @ human_values.mT  # G_J
            through = (through + grad_columns[:, None] / picked.shape[1]) * picked
            sums_h = through.sum(dim=-1, keepdim=True)
            # in rows without human tokens r_h is 0, and so is all that comes through M_h
            both = torch.cat([key.to(wide), plan.spread(wide_h)], dim=2)
            grad_q, grad_h = _through_softmax(
                query, both, value, grad=grad, term=out, sums_h=plan.spread(sums_h)
            )
            grad_q = plan.add(grad_q, through @ _take(wide_h, plan.columns))
            own = _spread(through.mT @ rows, plan.columns, like=wide_h)
            grad_h = plan.take(grad_h) + own
            scale = query.shape[-1] ** -0.5
        grad_q, grad_h = (grad_q * scale).to(query.dtype), (grad_h * scale).to(key_h.dtype)
        return grad_q, None, None, grad_h, grad_values, None


def _through_softmax(
    query: Tensor, both: Tensor, value: Tensor, *, grad: Tensor, term: Tensor, sums_h: Tensor
) -> tuple[Tensor, Tensor]:
    # Gradients of queries and K_h, times sqrt d, without what the human columns have of their own.
    # `both`: K and K_h [B, H, 2 K, d]. Products with maps are computed transposed, where their
    # long side stays last: narrow results are slow on CPUs.
    queries, keys, values, grads = (_flat(each) for each in (query, both, value, grad))
    sums, minus_sums_h = (grads * _flat(term)).sum(dim=-1, keepdim=True), -_flat(sums_h)
    to_query: list[Tensor] = []
    to_human: list[Tensor] = []
    for some, maps in _softmax(queries, keys, n_maps=2):
        frozen, human = maps.chunk(2, dim=2)
        frozen.mul_((grads[some] @ values[some].mT).sub_(sums[some]))
        human.mul_(minus_sums_h[some])
        to_query.append(keys[some].mT @ maps.mT)
        to_human.append(queries[some].mT @ human)
    grad_q = torch.cat(to_query).mT.unflatten(0, query.shape[:2])
    return grad_q, torch.cat(to_human).mT.unflatten(0, query.shape[:2])


def _softmax(queries: Tensor, keys: Tensor, *, n_maps: int) -> Iterator[tuple[slice, Tensor]]:
    # Slices of the B * H heads, row after row, and their maps [., Q, n K]; from _flat.
    chunk = _CHUNK_CPU if queries.device.type == "cpu" else _CHUNK
    step = max(1, chunk // (queries.shape[1] * keys.shape[1]))
    for start in range(0, len(queries), step):
        some = slice(start, start + step)
        yield some, attention_probs(queries[some], keys[some], n_maps=n_maps)


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
