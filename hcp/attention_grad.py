"""The fused attention and its human maps in training: one pass, with a backward of its own.

The formulas are those of ``hcp.attention``. Left to autograd, each of their three fused kernels
keeps its output for the backward pass, which computes gradients of the frozen keys and values too.
Here nothing but the projections is kept, the small maps over K text tokens are computed again, and
frozen inputs get no gradient.

B batch, R rows of B that have human tokens, H heads, Q latent pixels, K text tokens, J selected
tokens, d head width. S logits, P = softmax(S), G the gradient of the output.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from hcp.attention import map_dtype
from hcp.token_state import RowPlan


def attend_in_training(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_h: Tensor,
    *,
    strength: float | Tensor,
    plan: RowPlan,
) -> tuple[Tensor, Tensor]:
    """``(M + strength (M_h o m)) V`` and the head mean of M_h at the plan's columns.

    Args:
        query: [B, H, Q, d].
        key: [B, H, K, d].
        value: [B, H, K, d].
        key_h: [R, H, K, d].
        strength: gamma g, a float or a scalar tensor.
        plan: rows, token mask and columns.
    Returns:
        [B, H, Q, d] in the query's type, and [R, Q, J] in float32 (float64 for float64).
    """
    return cast(
        tuple[Tensor, Tensor],
        _Attention.apply(query, key, value, key_h, strength, plan),
    )


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_h: Tensor,
        strength: float | Tensor,
        plan: RowPlan,
    ) -> tuple[Tensor, Tensor]:
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        scale = torch.as_tensor(strength).detach()
        ctx.save_for_backward(query, key, value, key_h, scale.to(query.device))
        with torch.autocast(query.device.type, enabled=False):
            out = scaled_dot_product_attention(query, key, value)
            human = _softmax(plan.take(query), key_h)
            human_value = plan.take(value) * plan.token_mask[:, None, :, None].to(value.dtype)
            update = (human @ human_value.to(human.dtype)).to(out.dtype)
            index = plan.columns[:, None, :].expand(-1, human.shape[2], -1)
            columns = human.mean(dim=1).gather(2, index)
            return plan.add(out, strength * update), columns

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        grad_out, grad_columns = grads
        query, key, value, key_h, strength = ctx.saved_tensors
        with torch.autocast(query.device.type, enabled=False):
            return _backward(
                ctx.plan, query, key, value, key_h, strength, grad_out, grad_columns,
                need=ctx.needs_input_grad,
            )  # fmt: skip


def _backward(
    plan: RowPlan,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_h: Tensor,
    strength: Tensor,
    grad_out: Tensor | None,
    grad_columns: Tensor | None,
    *,
    need: tuple[bool, ...],
) -> tuple[Any, ...]:
    wide = map_dtype(query)
    grad_q = torch.zeros_like(query, dtype=wide)
    grad_k = grad_v = grad_g = None
    scale = query.shape[-1] ** -0.5
    mask = plan.token_mask[:, None, None].to(wide)
    grad_human = torch.zeros((), dtype=wide, device=query.device)  # of M_h, [R, H, Q, K]
    human = _softmax(plan.take(query), key_h)
    if grad_out is not None:
        grad_out = grad_out.to(wide)
        grad_map = grad_out @ value.to(wide).transpose(-1, -2)  # of M, [B, H, Q, K]
        through_human = plan.take(grad_map) * mask
        frozen = _softmax(query, key)
        grad_s = _softmax_backward(frozen, grad_map)
        grad_q = grad_s @ key.to(wide) * scale
        if need[1]:
            grad_k = (grad_s.transpose(-1, -2) @ query.to(wide) * scale).to(key.dtype)
        if need[2]:
            grad_v = frozen.transpose(-1, -2) @ grad_out
            from_human = (human * mask).transpose(-1, -2) @ plan.take(grad_out)
            grad_v = plan.add(grad_v, strength.to(wide) * from_human).to(value.dtype)
        if need[4]:
            grad_g = (human * through_human).sum().to(strength.dtype)
        grad_human = strength.to(wide) * through_human
    if grad_columns is not None:
        spread = human.new_zeros(human.shape[0], *human.shape[2:])
        index = plan.columns[:, None, :].expand(-1, spread.shape[1], -1)
        spread = spread.scatter_add(2, index, grad_columns.to(wide) / human.shape[1])
        grad_human = grad_human + spread[:, None]
    grad_s = _softmax_backward(human, grad_human.expand_as(human))
    grad_q = plan.add(grad_q, grad_s @ key_h.to(wide) * scale).to(query.dtype)
    grad_kh = grad_s.transpose(-1, -2) @ plan.take(query).to(wide) * scale
    return grad_q, grad_k, grad_v, grad_kh.to(key_h.dtype), grad_g, None


def _softmax(query: Tensor, key: Tensor) -> Tensor:
    wide = map_dtype(query)
    logits = query.to(wide) @ key.to(wide).transpose(-1, -2) * query.shape[-1] ** -0.5
    return logits.softmax(dim=-1)


def _softmax_backward(probabilities: Tensor, grad: Tensor) -> Tensor:
    weighted = probabilities * grad
    return weighted - probabilities * weighted.sum(dim=-1, keepdim=True)
