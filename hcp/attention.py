"""The fused map of a cross-attention with an HcP layer, as formulas on projected tensors.

B batch, H heads, Q latent pixels, K text tokens, J selected tokens, d head width.
Paper symbols: M frozen map, M_h human map, K_h human keys, m human-token mask, gamma its weight.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention


def map_dtype(tensor: Tensor) -> torch.dtype:
    """The type of maps and their losses: float32 whatever the model runs in, float64 for float64.

    Gradients of small float16 maps overflow.
    """
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


def normed(norm: Any, tensor: Tensor) -> Tensor:
    """The tensor through an attention's norm of queries or keys, where it has one."""
    return tensor if norm is None else norm(tensor)


def split_heads(tensor: Tensor, heads: int) -> Tensor:
    """Heads that lie side by side, [B, L, H d], as [B, H, L, d]."""
    return tensor.unflatten(2, (heads, -1)).transpose(1, 2)


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_h: Tensor,
    token_mask: Tensor,
    *,
    gamma: float | Tensor,
    attention_mask: Tensor | None = None,
) -> Tensor:
    """Attention with the fused map ``(M + gamma (M_h o m)) V``, without a map in memory.

    The output is linear in the map, so it is ``SDPA(Q, K, V) + gamma SDPA(Q, K_h, m o V)``. Both
    terms are computed in ``map_dtype``, and half precision is rounded to once, in their sum.

    Args:
        query: [B, H, Q, d], from the frozen to_q.
        key: [B, H, K, d], from the frozen to_k.
        value: [B, H, K, d], from the frozen to_v.
        key_h: [B, H, K, d], ``phi(C)``.
        token_mask: [B, K], bool, true at human tokens.
        gamma: weight of the human map, a float or a scalar tensor.
        attention_mask: optional additive or bool mask that broadcasts to [B, H, Q, K], for both
            maps.
    Returns:
        [B, H, Q, d]. HcP paper, figure (addition, frozen V); the place of gamma is our reading.
    Raises:
        ValueError: the shapes do not fit.
    """
    if key_h.shape != key.shape or token_mask.shape != (key.shape[0], key.shape[2]):
        raise ValueError(
            f"key_h {tuple(key_h.shape)} must equal key {tuple(key.shape)} and token_mask "
            f"{tuple(token_mask.shape)} must be [B, K] of it"
        )
    base = wide_attention(query, key, value, attention_mask=attention_mask)
    human = human_attention(query, key_h, value, token_mask, attention_mask=attention_mask)
    return (base + gamma * human).to(query.dtype)


def human_attention(
    query: Tensor,
    key_h: Tensor,
    value: Tensor,
    token_mask: Tensor,
    *,
    attention_mask: Tensor | None = None,
) -> Tensor:
    """``(M_h o m) V``: what the human tokens add, in ``map_dtype``. As in ``fused_attention``."""
    human_value = value * token_mask[:, None, :, None].to(value.dtype)
    return wide_attention(query, key_h, human_value, attention_mask=attention_mask)


def wide_attention(
    query: Tensor, key: Tensor, value: Tensor, *, attention_mask: Tensor | None = None
) -> Tensor:
    """``softmax(Q K^T / sqrt d) V`` in ``map_dtype``, also under autocast."""
    wide = map_dtype(query)
    if attention_mask is not None and attention_mask.is_floating_point():
        attention_mask = attention_mask.to(wide)
    with torch.autocast(query.device.type, enabled=False):
        return scaled_dot_product_attention(
            query.to(wide), key.to(wide), value.to(wide), attn_mask=attention_mask
        )


def attention_probs(query: Tensor, key: Tensor) -> Tensor:
    """``softmax(Q K^T / sqrt d)``, explicit.

    The softmax runs over all K tokens: over the human ones alone a single token would get 1
    everywhere. With K_h as the keys the head mean is M_h (HcP paper: figure; formula from
    summaries of it).

    Args:
        query: [..., Q, d].
        key: [..., K, d].
    Returns:
        [..., Q, K], rows sum to 1.
    """
    return ((query * query.shape[-1] ** -0.5) @ key.mT).softmax(dim=-1)


def map_columns(query: Tensor, key: Tensor, columns: Tensor) -> Tensor:
    """Columns of the head mean of ``softmax(Q K^T / sqrt d)``, without the whole map in memory.

    ``M E`` with E the one-hot matrix of the columns is attention with E as its values.

    Args:
        query: [B, H, Q, d].
        key: [B, H, K, d].
        columns: [B, J], int64 token positions; a position may repeat.
    Returns:
        [B, Q, J], in ``map_dtype``.
    """
    heads, width = query.shape[1], query.shape[-1]
    wanted = columns.shape[1]
    tokens = torch.arange(key.shape[2], device=columns.device)
    one_hot = (tokens[None, :, None] == columns[:, None, :]).to(query.dtype)
    if wanted < width:  # fused kernels want values as wide as the keys
        one_hot = pad(one_hot, (0, width - wanted))
    selected = wide_attention(query, key, one_hot[:, None].expand(-1, heads, -1, -1))
    return selected.mean(dim=1)[..., :wanted]
