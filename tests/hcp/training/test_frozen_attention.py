"""Lean feed-forwards and self-attention: torch's gradients, and nothing but the input kept."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention, AttnProcessor
from torch import Tensor, nn

from hcp.training import frozen_attention
from hcp.training.frozen_attention import lean_feed_forward, lean_self_attention

WIDTH, PIXELS = 8, 5


def _frozen(module: Any) -> Any:
    return module.double().eval().requires_grad_(False)


def _feed_forward(**settings: Any) -> Any:
    torch.manual_seed(0)
    return _frozen(FeedForward(WIDTH, mult=2, **settings))


def _attention(*, heads: int = 2, **settings: Any) -> Any:
    torch.manual_seed(0)
    return _frozen(Attention(WIDTH, heads=heads, dim_head=WIDTH // heads, **settings))


def _input(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*(shape or (2, PIXELS, WIDTH)), generator=generator, dtype=torch.float64)


def _lean(module: Any) -> Callable[..., Tensor]:
    make = lean_feed_forward if isinstance(module, FeedForward) else lean_self_attention
    found = make(module)
    assert found is not None
    return found


MODULES: dict[str, Callable[[], Any]] = {
    "feed_forward": _feed_forward,
    "feed_forward_without_bias": lambda: _feed_forward(bias=False),
    "self_attention": _attention,
    "self_attention_with_bias": lambda: _attention(bias=True),
}


@pytest.mark.parametrize("piece", [1, 8, 1 << 20], ids=["smallest", "small", "at_once"])
@pytest.mark.parametrize("name", list(MODULES))
def test_output_and_gradient_are_torchs(
    name: str, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_attention, "_PIECE_CPU", piece)
    module, x = MODULES[name](), _input().requires_grad_()
    found: list[Tensor] = []
    for forward in (_lean(module), module):
        out = forward(x)
        found += [out, *torch.autograd.grad((out.square() * out.detach().cos()).sum(), x)]
    assert torch.allclose(found[0], found[2], atol=1e-12)
    assert torch.allclose(found[1], found[3], atol=1e-12)


@pytest.mark.parametrize("name", list(MODULES))
def test_the_input_alone_is_kept(name: str) -> None:
    lean, x, kept = _lean(MODULES[name]()), _input().requires_grad_(), list[Tensor]()

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        lean(x)
    assert [each.data_ptr() for each in kept] == [x.data_ptr()]


def test_other_kinds_stay_as_they_are() -> None:
    feed_forward = _feed_forward()
    feed_forward.net[2] = nn.Sequential(feed_forward.net[2])  # as LoRA wraps it
    dropout = _feed_forward(dropout=0.5).train()
    for module in (feed_forward, dropout, _feed_forward(activation_fn="gelu")):
        assert lean_feed_forward(module) is None
    wide = _frozen(Attention(32, heads=2, dim_head=16))  # torch's own is as fast there
    cross = _frozen(Attention(WIDTH, cross_attention_dim=4, heads=2, dim_head=4))
    for attention in (wide, cross, _attention(qk_norm="layer_norm"), _attention(norm_num_groups=4)):
        assert lean_self_attention(attention) is None


def test_other_uses_of_a_self_attention_are_its_own() -> None:
    module, x, text = _attention(), _input(), _input(2, 3, WIDTH)
    lean = _lean(module)
    mask = torch.zeros(2, 1, PIXELS, dtype=torch.float64)
    mask[:, :, 2] = -1e4
    assert torch.equal(lean(x, attention_mask=mask), module(x, attention_mask=mask))
    assert torch.equal(lean(x, text), module(x, text))
    image = _input(2, WIDTH, 2, 2)
    assert torch.equal(lean(image), module(image))
    half = module.bfloat16()
    assert lean(x.bfloat16()).dtype == torch.bfloat16
    half.set_processor(AttnProcessor())
    assert torch.equal(lean(x.bfloat16()), half(x.bfloat16()))


def test_autocast_s_gradients_are_near_float32_s() -> None:
    module, x = _feed_forward().float(), _input().float().requires_grad_()
    lean = _lean(module)
    expected = torch.autograd.grad(module(x).sum(), x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        out = lean(x)
    found = torch.autograd.grad(out.sum(), x)[0]
    assert out.dtype == torch.bfloat16
    assert found.dtype == torch.float32
    assert (found - expected).norm() <= 0.02 * expected.norm()
