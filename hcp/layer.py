"""The HcP layer: human keys ``K_h = phi(C)`` for one cross-attention, and its gate."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hcp.config import Activation, Gate

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "relu": nn.ReLU,
}


class HcpLayer(nn.Module):
    """``phi``, a three-layer MLP over the text embedding of every token (HcP paper, figure).

    Width 1024 and the activation are our reading. All weights start as PyTorch's linear layers do
    (our reading): K_h is small then, so M_h starts near the uniform map and human words are only
    slightly stronger than in the base model. The last layer has no bias: it would shift all
    logits of a query alike, which the softmax cannot see.
    """

    def __init__(
        self, text_dim: int, inner_dim: int, *, width: int, activation: Activation, gate: Gate
    ) -> None:
        super().__init__()
        act = _ACTIVATIONS[activation]
        self.phi = nn.Sequential(
            nn.Linear(text_dim, width),
            act(),
            nn.Linear(width, width),
            act(),
            nn.Linear(width, inner_dim, bias=False),
        )
        self.gate = nn.Parameter(torch.zeros(())) if gate == "zero" else None

    def forward(self, encoder_hidden_states: Tensor) -> Tensor:
        """K_h of all heads side by side: [B, K, text_dim] -> [B, K, inner_dim]."""
        return self.phi(encoder_hidden_states)

    def strength(self, gamma: float) -> float | Tensor:
        """``gamma * g``, the weight of the human map: with a fixed gate g = 1."""
        return gamma if self.gate is None else gamma * self.gate
