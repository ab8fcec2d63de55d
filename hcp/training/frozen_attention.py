"""Lean forms of what a frozen transformer block is made of: feed-forward and self-attention.

Both keep only their input and redo the rest in the backward pass, a piece at a time. N rows of
the batch, L latent pixels, C channels, H heads, d head width.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from hcp.attention import split_heads

aten: Any = torch.ops.aten  # what torch's own derivatives are made of

_PIECE_CPU, _PIECE = 1 << 18, 1 << 26
"""Elements of what is between, in memory at a time, about. On a CPU it fits the cache."""
_NARROW = 16
"""Head widths below it: there torch's fused backward pass takes 1.5 times the one written out."""


def lean_feed_forward(module: FeedForward) -> Callable[..., Tensor] | None:
    """Its lean form, if it is the gated one of all Stable Diffusion U-Nets."""
    parts = list(module.net)
    if len(parts) != 3 or type(parts[0]) is not GEGLU:
        return None
    inner, dropout, outer = parts[0].proj, parts[1], parts[2]
    if type(inner) is not nn.Linear or type(outer) is not nn.Linear or _drops(dropout):
        return None
    return lambda x: _feed_forward(x, inner, outer)


def lean_self_attention(module: Attention) -> Callable[..., Tensor] | None:
    """Its lean form, where the heads are narrow and it runs in full precision on a CPU."""
    attn: Any = module
    own = attn.forward

    def forward(x: Tensor, encoder_hidden_states: Any = None, **more: Any) -> Tensor:
        given = [encoder_hidden_states, *more.values()]
        if x.ndim != 3 or x.device.type != "cpu" or any(each is not None for each in given):
            return own(x, encoder_hidden_states, **more)
        if torch.is_autocast_enabled("cpu") or x.dtype not in (torch.float32, torch.float64):
            return own(x)
        if type(attn.processor) is not AttnProcessor2_0:  # changed since, as by slicing
            return own(x)
        return _self_attention(x, attn)

    return forward if _is_plain(attn) else None


def _is_plain(attn: Any) -> bool:
    linears = (attn.to_q, attn.to_k, attn.to_v, attn.to_out[0])
    extras = (attn.norm_q, attn.norm_k, attn.group_norm, attn.spatial_norm)
    return (
        not attn.is_cross_attention
        and all(type(each) is nn.Linear for each in linears)
        and all(each is None for each in extras)
        and attn.to_q.out_features == attn.to_k.out_features
        and attn.to_q.out_features // attn.heads < _NARROW
        and not attn.residual_connection
        and attn.rescale_output_factor == 1
        and not _drops(attn.to_out[1])
    )


def _drops(dropout: Any) -> bool:
    return bool(dropout.training and dropout.p)


def _pieces(rows: int, width: int, device: torch.device) -> Iterator[slice]:
    # Slices of rows that have `width` elements each in memory.
    step = max(1, (_PIECE_CPU if device.type == "cpu" else _PIECE) // width)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


class _FeedForward(torch.autograd.Function):
    """``W_out (a * gelu(b)) + bias`` with a and b the halves of ``W_in x + bias``."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, x: Tensor, inner: nn.Linear, outer: nn.Linear
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.inner, ctx.outer = inner, outer
        rows = x.flatten(0, -2)
        found: list[Tensor] = []
        for some in _pieces(len(rows), inner.out_features, x.device):
            hidden, gate = linear(rows[some], inner.weight, inner.bias).chunk(2, dim=-1)
            found.append(linear(gelu(gate).mul_(hidden), outer.weight, outer.bias))
        ctx.dtype = found[0].dtype  # autocast's, where that is on
        return torch.cat(found).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        inner, outer = ctx.inner, ctx.outer
        rows, grads = x.flatten(0, -2).to(ctx.dtype), grad.flatten(0, -2).to(ctx.dtype)
        weight, bias = inner.weight.to(ctx.dtype), inner.bias
        bias = None if bias is None else bias.to(ctx.dtype)
        found = torch.empty_like(rows)
        for some in _pieces(len(rows), inner.out_features, x.device):
            halves = linear(rows[some], weight, bias)
            hidden, gate = halves.chunk(2, dim=-1)
            through = grads[some] @ outer.weight.to(ctx.dtype)
            slopes = torch.empty_like(halves)
            by_hidden, by_gate = slopes.chunk(2, dim=-1)
            aten.gelu.out(gate, out=by_hidden)
            by_hidden.mul_(through)
            aten.gelu_backward.grad_input(through.mul_(hidden), gate, grad_input=by_gate)
            torch.mm(slopes, weight, out=found[some])
        return found.view_as(x).to(x.dtype), None, None


class _SelfAttention(torch.autograd.Function):
    """Attention of x to itself."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] - torch types it as *args
        ctx: Any, x: Tensor, attn: Any
    ) -> Tensor:
        ctx.save_for_backward(x)
        ctx.attn = attn
        query, key, value = _projected(attn, x)
        out = scaled_dot_product_attention(query, key, value)
        project = attn.to_out[0]
        return linear(out.transpose(1, 2).flatten(2), project.weight, project.bias)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, grad: Tensor
    ) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        attn = ctx.attn
        query, key, value = _projected(attn, x)
        through = split_heads(grad @ attn.to_out[0].weight, attn.heads)
        scale = query.shape[-1] ** -0.5
        query = query * scale
        batch, heads, pixels, width = query.shape
        # of queries, keys and values, transposed: the long side last, narrow results are slow
        found = x.new_zeros(batch, 3, heads, width, pixels)
        for row in range(batch):
            for head in range(heads):
                at = (row, head)
                to_query, to_key, to_value = found[row, :, head]
                keys, values = key[at], value[at]
                for some in _pieces(pixels, pixels, x.device):
                    queries, grads = query[at][some], through[at][some]
                    probs = (queries @ keys.mT).softmax(dim=-1)
                    to_value.addmm_(grads.mT, probs)
                    by_logit = aten._softmax_backward_data(
                        grads @ values.mT, probs, -1, probs.dtype
                    )
                    to_key.addmm_(queries.mT, by_logit)
                    to_query[:, some] = keys.mT @ by_logit.mT
        found[:, 0] *= scale
        weights = torch.cat([attn.to_q.weight, attn.to_k.weight, attn.to_v.weight])
        return found.flatten(1, 3).mT @ weights, None


def _projected(attn: Any, x: Tensor) -> list[Tensor]:
    # Queries, keys and values, [N, H, L, d].
    projections = (attn.to_q, attn.to_k, attn.to_v)
    return [split_heads(linear(x, each.weight, each.bias), attn.heads) for each in projections]


_feed_forward: Any = _FeedForward.apply  # typed as any object's function
_self_attention: Any = _SelfAttention.apply
