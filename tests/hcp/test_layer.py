"""The HcP layer: its sizes, its gate, its activations."""

from typing import Any

import pytest
import torch

from hcp.config import Activation, HcpConfig
from hcp.layer import HcpLayer


def test_keys_of_every_token_from_a_three_layer_mlp() -> None:
    layer = HcpLayer(6, 8, HcpConfig(width=5, activation="gelu", gate="fixed"))
    linears = [m for m in layer.phi if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linears] == [(6, 5), (5, 5), (5, 8)]
    text = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0))
    keys = layer(text)
    assert keys.shape == (2, 7, 8)
    assert torch.allclose(layer(text[1:, 3:4]), keys[1:, 3:4], atol=1e-6)


def test_a_fixed_gate_is_one_and_has_no_parameter() -> None:
    layer = HcpLayer(6, 8, HcpConfig(width=5, activation="gelu", gate="fixed"))
    assert layer.strength(0.7) == 0.7
    assert not any("gate" in name for name, _ in layer.named_parameters())


def test_a_zero_gate_is_one_learned_number() -> None:
    layer = HcpLayer(6, 8, HcpConfig(width=5, activation="gelu", gate="zero"))
    assert layer.gate is not None
    assert float(layer.strength(0.7)) == 0.0
    with torch.no_grad():
        layer.gate.fill_(2.0)
    assert float(layer.strength(0.5)) == 1.0


@pytest.mark.parametrize("activation", ["gelu", "silu", "relu"])
def test_activations_bend_the_mlp(activation: Activation) -> None:
    torch.manual_seed(0)
    layer = HcpLayer(6, 8, HcpConfig(width=16, activation=activation, gate="fixed"))
    x = torch.randn(1, 1, 6)
    bend = layer(x) + layer(-x) - 2 * layer(torch.zeros_like(x))
    assert bend.abs().max() > 1e-3


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_gradients_in_float64(activation: Activation) -> None:
    torch.manual_seed(0)
    layer = HcpLayer(3, 4, HcpConfig(width=5, activation=activation, gate="zero")).double()
    text = torch.randn(1, 2, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]
    leaves = [torch.randn_like(p).requires_grad_() for p in layer.parameters()]

    def call(text: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        own = dict(zip(names, weights, strict=True))
        keys = torch.func.functional_call(layer, own, (text,))
        return keys * own["gate"]

    assert torch.autograd.gradcheck(call, (text, *leaves))


def test_a_residual_start_is_the_frozen_map_and_learns_from_there() -> None:
    layer = HcpLayer(6, 8, HcpConfig(width=5, start="residual"))
    text, frozen = torch.randn(2, 7, 6), torch.randn(2, 7, 8)
    assert torch.equal(layer(text, frozen), frozen)
    layer(text, frozen).square().sum().backward()
    last = layer.phi[-1].weight.grad
    assert last is not None
    assert last.abs().max() > 0
    with pytest.raises(ValueError, match="frozen keys"):
        layer(text)


@pytest.mark.parametrize("value", ["learned", "own", "pixel"])
def test_learned_values_start_at_nothing_and_learn(value: Any) -> None:
    assert HcpLayer(6, 8, HcpConfig(width=5)).values(torch.randn(1, 2, 6)) is None
    layer = HcpLayer(6, 8, HcpConfig(width=5, value=value))
    values = layer.values(torch.randn(2, 7, 6))
    assert values is not None
    assert values.shape == (2, 7, 8)
    assert not values.any()
    values.sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in layer.psi.parameters())


def test_variants_leave_the_paper_s_first_weights_alone() -> None:
    plain, variant = (
        HcpLayer(6, 8, config)
        for config in (HcpConfig(width=5), HcpConfig(width=5, value="learned"))
        if torch.manual_seed(3)
    )
    for name, weight in plain.named_parameters():
        assert torch.equal(weight, variant.get_parameter(name))
