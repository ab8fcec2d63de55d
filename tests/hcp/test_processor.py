"""The processor equals diffusers' own in all that is not HcP, for every kind of attention block."""

from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from torch import Tensor

from hcp.attention import attention_probs, fused_attention, human_attention, wide_attention
from hcp.config import HcpConfig
from hcp.human_term import HumanTerm
from hcp.layer import HcpLayer
from hcp.processor import HcpProcessor
from hcp.sites import Site
from hcp.token_state import TokenState

BLOCKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias": {"bias": True},
    "group_norm": {"norm_num_groups": 4},
    "cross_norm": {"cross_attention_norm": "layer_norm"},
    "qk_norm": {"qk_norm": "layer_norm"},
    "residual": {"residual_connection": True, "rescale_output_factor": 2.0},
}
SITE = Site(name="attn2", stage="mid", scale=1, text_dim=12, inner_dim=16)


def _block(settings: dict[str, Any]) -> Attention:
    torch.manual_seed(0)
    return Attention(query_dim=16, cross_attention_dim=12, heads=2, dim_head=8, **settings).eval()


def _processor(*, gamma: float, mask: Tensor) -> HcpProcessor:
    torch.manual_seed(1)
    layer = HcpLayer(12, 16, HcpConfig(width=8, activation="gelu", gate="fixed"))
    state = TokenState()
    state.set(mask)
    return HcpProcessor(HumanTerm(SITE, layer, gamma=gamma, state=state))


def _inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    mask = torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], dtype=torch.bool)
    hidden = torch.randn(3, 16, 4, 4, generator=generator)
    return hidden, torch.randn(3, 5, 12, generator=generator), mask


@pytest.mark.parametrize("image", [True, False], ids=["4d", "3d"])
@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no_mask"])
@pytest.mark.parametrize("block", list(BLOCKS))
@torch.no_grad()
def test_with_gamma_zero_it_is_the_default_processor(block: str, masked: bool, image: bool) -> None:
    attn = _block(BLOCKS[block])
    hidden, text, mask = _inputs()
    if not image:
        hidden = hidden.flatten(2).transpose(1, 2)
    attention_mask = None
    if masked:
        attention_mask = torch.zeros(3, 1, 5)
        attention_mask[:, :, 4] = -10000.0
    base = AttnProcessor2_0()(attn, hidden, text, attention_mask)
    found = _processor(gamma=0.0, mask=mask)(attn, hidden, text, attention_mask)
    assert torch.equal(found, base)
    changed = _processor(gamma=1.0, mask=mask)(attn, hidden, text, attention_mask)
    assert torch.equal(changed[1], base[1])
    assert (changed[0] - base[0]).abs().max() > 1e-3


@torch.no_grad()
def test_it_computes_the_fused_attention() -> None:
    attn = _block({})
    hidden, text, mask = _inputs()
    hidden = hidden.flatten(2).transpose(1, 2)
    processor = _processor(gamma=0.6, mask=mask)

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (2, 8)).transpose(1, 2)

    expected = fused_attention(
        heads(attn.to_q(hidden)),
        heads(attn.to_k(text)),
        heads(attn.to_v(text)),
        heads(processor.terms[0].layer(text)),
        mask,
        gamma=0.6,
    )
    expected = attn.to_out[0](expected.transpose(1, 2).flatten(2))
    assert torch.allclose(processor(attn, hidden, text), expected, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False], ids=["mask", "no_mask"])
@torch.no_grad()
def test_half_precision_rounds_the_sum_once_and_leaves_other_rows_alone(masked: bool) -> None:
    attn = _block({}).to(torch.bfloat16)
    attn.to_out[0] = torch.nn.Identity()  # what is compared is the attention itself
    hidden, text, mask = (x.bfloat16() if x.is_floating_point() else x for x in _inputs())
    hidden = hidden.flatten(2).transpose(1, 2)
    attention_mask = None
    if masked:
        attention_mask = torch.zeros(3, 1, 5, dtype=torch.bfloat16)
        attention_mask[:, :, 4] = -10000.0
    processor = _processor(gamma=0.7, mask=mask)
    base = AttnProcessor2_0()(attn, hidden, text, attention_mask)
    found = processor(attn, hidden, text, attention_mask)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found[1], base[1])

    def heads(x: Tensor) -> Tensor:
        return x.float().unflatten(-1, (2, 8)).transpose(1, 2)

    some = mask.any(dim=1)
    exact = fused_attention(
        heads(attn.to_q(hidden))[some],
        heads(attn.to_k(text))[some],
        heads(attn.to_v(text))[some],
        heads(processor.terms[0].layer(text[some].float()).bfloat16()),
        mask[some],
        gamma=0.7,
        attention_mask=None if attention_mask is None else attention_mask[some][:, None].float(),
    ).transpose(1, 2).flatten(2)  # fmt: skip
    half_step = torch.finfo(torch.bfloat16).eps / 2 * exact.abs()
    assert ((found[some].float() - exact).abs() <= half_step + 1e-6).all()


def test_keys_are_never_cached_where_gradients_flow() -> None:
    attn = _block({})
    hidden, text, mask = _inputs()
    processor = _processor(gamma=1.0, mask=mask)
    hidden = hidden.flatten(2).transpose(1, 2)
    with torch.no_grad():
        processor(attn, hidden, text)
    processor(attn, hidden, text).sum().backward()
    assert all(p.grad is not None for p in processor.terms[0].layer.parameters())


@torch.no_grad()
def test_changed_text_embeddings_are_noticed() -> None:
    attn = _block({})
    hidden, text, mask = _inputs()
    hidden = hidden.flatten(2).transpose(1, 2)
    processor = _processor(gamma=1.0, mask=mask)
    processor(attn, hidden, text)
    text.mul_(-1.0)
    fresh = _processor(gamma=1.0, mask=mask)
    assert torch.equal(processor(attn, hidden, text), fresh(attn, hidden, text))


@torch.no_grad()
def test_self_attention_passes_through() -> None:
    torch.manual_seed(0)
    attn = Attention(query_dim=16, heads=2, dim_head=8).eval()
    hidden = _inputs()[0].flatten(2).transpose(1, 2)
    processor = _processor(gamma=1.0, mask=torch.ones(3, 5, dtype=torch.bool))
    assert torch.equal(processor(attn, hidden), AttnProcessor2_0()(attn, hidden))


VARIANTS = {
    "residual": HcpConfig(width=8, start="residual"),
    "value": HcpConfig(width=8, value="learned"),
    "both": HcpConfig(width=8, start="residual", value="learned"),
    "own": HcpConfig(width=8, start="residual", value="own"),
    "pixel": HcpConfig(width=8, start="residual", value="pixel"),
}


@pytest.mark.parametrize("beside", [False, True], ids=["fused", "beside"])
@pytest.mark.parametrize("grad", [False, True], ids=["draw", "train"])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_variants_are_their_formulas(variant: str, grad: bool, beside: bool) -> None:
    attn = _block({}).requires_grad_(False)
    hidden, text, mask = _inputs()
    hidden = hidden.flatten(2).transpose(1, 2)
    layer = HcpLayer(12, 16, VARIANTS[variant])
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    state = TokenState()
    state.set(mask)
    base = AttnProcessor() if beside else None
    processor = HcpProcessor(HumanTerm(SITE, layer, gamma=0.6, state=state), base=base)

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (2, 8)).transpose(1, 2)

    frozen, more = attn.to_k(text), layer.values(text)
    key_h = layer(text, frozen)
    value_h = attn.to_v(text) if more is None else more
    if more is not None and VARIANTS[variant].value == "learned":
        value_h = attn.to_v(text) + more
    query, value = heads(attn.to_q(hidden)), heads(attn.to_v(text))
    human = human_attention(query, heads(key_h), heads(value_h), mask)
    if layer.chi is not None:
        probs = attention_probs(query, heads(key_h)) * mask[:, None, None, :]
        human = human + probs.sum(dim=-1, keepdim=True) * heads(layer.chi(hidden))
    expected = wide_attention(query, heads(frozen), value) + 0.6 * human
    expected = attn.to_out[0](expected.transpose(1, 2).flatten(2))
    with torch.set_grad_enabled(grad):
        found = processor(attn, hidden, text)
        assert torch.allclose(found, expected, atol=1e-5)
        assert torch.allclose(processor(attn, hidden, text), expected, atol=1e-5)  # from the cache
    if grad:
        leaves = list(layer.parameters())
        ours = torch.autograd.grad(found.sin().sum(), leaves)
        theirs = torch.autograd.grad(expected.sin().sum(), leaves)
        for a, b in zip(ours, theirs, strict=True):
            assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("value", ["frozen", "learned", "own", "pixel"])
def test_a_gate_from_zero_draws_the_base_and_learns(value: Any) -> None:
    attn = _block({}).requires_grad_(False)
    hidden, text, mask = _inputs()
    layer = HcpLayer(12, 16, HcpConfig(width=8, gate="zero", value=value))
    state = TokenState()
    state.set(mask)
    found = HcpProcessor(HumanTerm(SITE, layer, gamma=1.0, state=state))(attn, hidden, text)
    assert torch.equal(found, AttnProcessor2_0()(attn, hidden, text))
    assert layer.gate is not None
    (gradient,) = torch.autograd.grad(found.sin().sum(), [layer.gate])
    assert gradient != 0


@torch.no_grad()
def test_strength_scales_the_human_term_and_zero_gives_the_base_s_bits() -> None:
    attn = _block({})
    hidden, text, mask = _inputs()
    processor = _processor(gamma=1.0, mask=mask)
    base = AttnProcessor2_0()(attn, hidden, text)
    full = processor(attn, hidden, text) - base
    processor.terms[0].state.strength = 0.5
    assert torch.allclose(processor(attn, hidden, text) - base, full / 2, atol=1e-6)
    processor.terms[0].state.strength = 0.0
    assert torch.equal(processor(attn, hidden, text), base)


@torch.no_grad()
def test_the_text_is_projected_once_for_all_steps_unless_something_changed() -> None:
    attn = _block({})
    hidden, text, mask = _inputs()
    processor = _processor(gamma=1.0, mask=mask)

    def same_as_fresh() -> bool:
        fresh = _processor(gamma=1.0, mask=mask)
        fresh.terms[0].layer.load_state_dict(processor.terms[0].layer.state_dict())
        return torch.equal(processor(attn, hidden, text), fresh(attn, hidden, text))

    first = processor(attn, hidden, text)
    kept = dict(processor.terms[0].state._made)
    assert torch.equal(processor(attn, hidden, text), first)
    assert all(processor.terms[0].state._made[name] is made for name, made in kept.items())
    for weight in (attn.to_k.weight, attn.to_v.weight, *processor.terms[0].layer.parameters()):
        weight.add_(0.1)
        assert same_as_fresh()


@pytest.mark.parametrize("how", ["watched", "replaced"])
@torch.no_grad()
def test_projections_that_others_changed_are_called_each_time(how: str) -> None:
    attn, calls = _block({}), list[int]()
    hidden, text, mask = _inputs()
    if how == "watched":
        attn.to_k.register_forward_hook(lambda *_: calls.append(1))
    else:  # as accelerate does
        own = attn.to_k.forward
        attn.to_k.forward = lambda x: (calls.append(1), own(x))[1]
    processor = _processor(gamma=1.0, mask=mask)
    for _ in range(2):
        processor(attn, hidden, text)
    assert len(calls) == 2
