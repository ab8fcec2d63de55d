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

    Two variants are ours. ``start="residual"``: K_h = W_k C + phi(C) with phi's last layer from 0,
    so that M_h starts as the base's own map. ``value="learned"``: the human term takes
    V + psi(C), psi a second MLP whose last layer starts at 0, so that training can change what a
    human word says and not only where.
    """

    def __init__(self, text_dim: int, inner_dim: int, config: HcpConfig) -> None:
        super().__init__()
        self.residual = config.start == "residual"
        self.phi = _mlp(text_dim, inner_dim, config, from_zero=self.residual)
        self.psi: nn.Module | None = None
        if config.value == "learned":
            self.psi = _mlp(text_dim, inner_dim, config, from_zero=True)
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
        """``psi(C)``, what is added to V in the human term, [B, K, inner_dim]; None: nothing."""
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
    if from_zero:
        for parameter in mlp[-1].parameters():
            nn.init.zeros_(parameter)
    return mlp
