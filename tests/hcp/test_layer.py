"""The HcP layer: its sizes, its gate, its activations."""

import pytest
import torch

from hcp.config import Activation
from hcp.layer import HcpLayer


def test_keys_of_every_token_from_a_three_layer_mlp() -> None:
    layer = HcpLayer(6, 8, width=5, activation="gelu", gate="fixed")
    linears = [m for m in layer.phi if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linears] == [(6, 5), (5, 5), (5, 8)]
    text = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0))
    keys = layer(text)
    assert keys.shape == (2, 7, 8)
    assert torch.allclose(layer(text[1:, 3:4]), keys[1:, 3:4], atol=1e-6)


def test_a_fixed_gate_is_one_and_has_no_parameter() -> None:
    layer = HcpLayer(6, 8, width=5, activation="gelu", gate="fixed")
    assert layer.strength(0.7) == 0.7
    assert not any("gate" in name for name, _ in layer.named_parameters())


def test_a_zero_gate_is_one_learned_number() -> None:
    layer = HcpLayer(6, 8, width=5, activation="gelu", gate="zero")
    assert layer.gate is not None
    assert float(layer.strength(0.7)) == 0.0
    with torch.no_grad():
        layer.gate.fill_(2.0)
    assert float(layer.strength(0.5)) == 1.0


@pytest.mark.parametrize("activation", ["gelu", "silu", "relu"])
def test_activations_bend_the_mlp(activation: Activation) -> None:
    torch.manual_seed(0)
    layer = HcpLayer(6, 8, width=16, activation=activation, gate="fixed")
    x = torch.randn(1, 1, 6)
    bend = layer(x) + layer(-x) - 2 * layer(torch.zeros_like(x))
    assert bend.abs().max() > 1e-3


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_gradients_in_float64(activation: Activation) -> None:
    torch.manual_seed(0)
    layer = HcpLayer(3, 4, width=5, activation=activation, gate="zero").double()
    text = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]
    leaves = [torch.randn_like(p).requires_grad_() for p in layer.parameters()]

    def call(text: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        own = dict(zip(names, weights, strict=True))
        keys = torch.func.functional_call(layer, own, (text,))
        return keys * own["gate"]

    assert torch.autograd.gradcheck(call, (text, *leaves))
