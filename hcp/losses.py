"""The human-centric alignment loss and its weight over the noise schedule.

B batch, Q latent pixels, K text tokens.
"""

from collections.abc import Callable
from math import pi

import torch
from torch import Tensor

from hcp.attention import map_dtype
from hcp.config import Distance, Schedule

_NOTHING = 1e-12
"""Squared norm, below any map of peak 1, that keeps the gradient at all-zero maps finite."""
_FLAT = 1e-4
"""Centred maps whose standard deviation is far below this share of their maximum count as flat."""

_SCHEDULES: dict[str, Callable[[Tensor], Tensor]] = {
    "early": torch.sin,
    "late": torch.cos,
    "constant": torch.ones_like,
    "off": torch.zeros_like,
}


def alignment_loss(
    attn_map: Tensor,
    target: Tensor,
    token_mask: Tensor,
    *,
    distance: Distance = "cosine",
) -> Tensor:
    """Distance between where human tokens look and where humans are.

    ``mean over human tokens i of D(A_i, H)`` with ``D = 1 - cos`` (HcP paper, from summaries), or
    1 - the centred cosine (ours: a flat map is already close to any dense target in plain cosine).
    Scaling a map or a target does not change the loss.

    Args:
        attn_map: [B, Q, K], head mean of the human map.
        target: [B, Q] for all tokens or [B, Q, K], non-negative; all-zero means "nobody here".
        token_mask: [B, K], bool, true at human tokens.
        distance: the D above.
    Returns:
        [B], float32 (float64 for float64 maps). Tokens without a target are left out; 0 where none
        is left. A constant map has distance 1 under the centred cosine.
    Raises:
        ValueError: the shapes do not fit, or the distance is unknown.
    """
    _check(attn_map, target, token_mask, distance)
    dtype = map_dtype(attn_map)
    floor = torch.finfo(attn_map.dtype).tiny
    token_mask = token_mask.to(device=attn_map.device, dtype=torch.bool)
    target = target.detach().to(device=attn_map.device, dtype=dtype)
    if target.ndim == 2:
        target = target.unsqueeze(-1)
    attn = _unit_peak(attn_map.masked_fill(~token_mask[:, None], 0.0).to(dtype), floor)
    target = _unit_peak(target, torch.finfo(dtype).tiny)
    counted = token_mask & (target.amax(dim=1) > 0)
    if distance == "cosine":
        similarity = _cosine(attn, target, eps=_NOTHING)
    else:
        attn, target = (maps - maps.mean(dim=1, keepdim=True) for maps in (attn, target))
        similarity = _cosine(attn, target, eps=attn.shape[1] * _FLAT**2)
    per_token = torch.where(counted, 1.0 - similarity, 0.0)
    return per_token.sum(dim=1) / counted.sum(dim=1).clamp_min(1)


def stage_weight(kind: Schedule, timesteps: Tensor, num_train_timesteps: int) -> Tensor:
    """Weight of a stage's alignment loss at each sample's noise level.

    ``early`` = sin(pi/2 t/T) is 1 where sampling begins (large t, coarse structure), ``late`` =
    cos(pi/2 t/T) where it ends (detail). The cosine family and its assignment are our reading.

    Args:
        kind: the schedule.
        timesteps: [B], in [0, num_train_timesteps).
        num_train_timesteps: T.
    Returns:
        [B], float32, in [0, 1].
    Raises:
        ValueError: unknown kind, or T < 1.
    """
    if num_train_timesteps < 1:
        raise ValueError(f"num_train_timesteps must be >= 1, got {num_train_timesteps}")
    phase = timesteps.to(torch.float32) * (pi / 2 / num_train_timesteps)
    if kind not in _SCHEDULES:
        raise ValueError(f"unknown schedule {kind!r}: {', '.join(_SCHEDULES)}")
    return _SCHEDULES[kind](phase)


def _unit_peak(maps: Tensor, floor: float) -> Tensor:
    # Dividing by the (constant) peak makes every later epsilon relative, and keeps the gradient of
    # float16 maps in range: below `floor` a map is nothing and gets no gradient.
    peak = maps.detach().abs().amax(dim=1, keepdim=True)
    alive = peak > floor
    return torch.where(alive, maps, 0.0) / torch.where(alive, peak, 1.0)


def _cosine(a: Tensor, b: Tensor, *, eps: float) -> Tensor:
    dot = (a * b).sum(dim=1)
    return dot * torch.rsqrt((a.square().sum(dim=1) + eps) * (b.square().sum(dim=1) + eps))


def _check(attn_map: Tensor, target: Tensor, token_mask: Tensor, distance: str) -> None:
    if attn_map.ndim != 3:
        raise ValueError(f"attn_map must be [B, Q, K], got {tuple(attn_map.shape)}")
    batch, pixels, tokens = attn_map.shape
    if target.shape not in ((batch, pixels), (batch, pixels, tokens)):
        raise ValueError(
            f"target must be [{batch}, {pixels}] or [{batch}, {pixels}, {tokens}], "
            f"got {tuple(target.shape)}"
        )
    if token_mask.shape != (batch, tokens):
        raise ValueError(f"token_mask must be [{batch}, {tokens}], got {tuple(token_mask.shape)}")
    if distance not in ("cosine", "centred_cosine"):
        raise ValueError(f"unknown distance {distance!r}: cosine or centred_cosine")
