"""The HcP layer: human keys and, if wanted, human values for one cross-attention, and its gate.

B rows, K text tokens.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hcp.config import Activation, HcpConfig

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

    The variants are ours. ``start="residual"``: K_h = W_k C + phi(C) with phi's last layer from
    0, so that M_h starts as the base's own map. ``value="learned"``: the human term takes
    V + psi(C), psi a second MLP whose last layer starts at 0, so that training can change what a
    human word says and not only where. ``value="own"``: it takes psi(C) alone, so that the first
    step is the base's, whatever gamma is; a large gamma then makes up for the little attention
    that human words get. ``value="pixel"``: it takes psi(C) + chi(X), chi an MLP from 0 over the
    pixel's own features X, so that a human word may do something else in each place. Behind a gate
    from 0 these two start as PyTorch's linear layers do: the gate alone makes the first step the
    base's.
    """

    def __init__(self, text_dim: int, inner_dim: int, config: HcpConfig) -> None:
        super().__init__()
        self.residual = config.start == "residual"
        self.phi = _mlp(text_dim, inner_dim, config, from_zero=self.residual)
        # Where V_h is psi and chi alone, behind a gate from 0 they may not begin at 0 too: of two
        # factors that are 0, neither ever gets a gradient.
        from_zero = config.gate != "zero" or config.value == "learned"
        self.psi: nn.Module | None = None
        if config.value != "frozen":
            self.psi = _mlp(text_dim, inner_dim, config, from_zero=from_zero)
        self.chi: nn.Module | None = None  # X [B, Q, inner_dim] to a part of V_h, the same shape
        if config.value == "pixel":
            self.chi = _pixel_mlp(inner_dim, config, from_zero=from_zero)
        self.keeps_value = config.value == "learned"  # V_h = V + psi(C), else without V
        self.gate = nn.Parameter(torch.zeros(())) if config.gate == "zero" else None

    def forward(self, encoder_hidden_states: Tensor, frozen_keys: Tensor | None = None) -> Tensor:
        """K_h of all heads side by side, [B, K, inner_dim].

        Args:
            encoder_hidden_states: C, [B, K, text_dim].
            frozen_keys: W_k C, [B, K, inner_dim]; the residual start alone reads it.
        Raises:
            ValueError: the start is residual and there are no frozen keys.
        """
        keys = self.phi(encoder_hidden_states)
        if not self.residual:
            return keys
        if frozen_keys is None:
            raise ValueError("HcpLayer: a residual start needs the frozen keys W_k C")
        return frozen_keys + keys

    def values(self, encoder_hidden_states: Tensor) -> Tensor | None:
        """``psi(C)`` of the human term's V_h, [B, K, inner_dim]; None: V_h is the frozen V."""
        return None if self.psi is None else self.psi(encoder_hidden_states)

    def strength(self, gamma: float) -> float | Tensor:
        """``gamma * g``, the weight of the human map: with a fixed gate g = 1."""
        return gamma if self.gate is None else gamma * self.gate


def _mlp(text_dim: int, inner_dim: int, config: HcpConfig, *, from_zero: bool) -> nn.Sequential:
    act, width = _ACTIVATIONS[config.activation], config.width
    mlp = nn.Sequential(
        nn.Linear(text_dim, width),
        act(),
        nn.Linear(width, width),
        act(),
        nn.Linear(width, inner_dim, bias=False),
    )
    return _from_zero(mlp) if from_zero else mlp


def _pixel_mlp(inner_dim: int, config: HcpConfig, *, from_zero: bool) -> nn.Sequential:
    act, width = _ACTIVATIONS[config.activation], config.width
    mlp = nn.Sequential(nn.Linear(inner_dim, width), act(), nn.Linear(width, inner_dim))
    return _from_zero(mlp) if from_zero else mlp


def _from_zero(mlp: nn.Sequential) -> nn.Sequential:
    for parameter in mlp[-1].parameters():
        nn.init.zeros_(parameter)
    return mlp
