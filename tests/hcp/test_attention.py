"""The fused attention equals the explicit maps (property 5.7 f) and has right gradients."""

import pytest
import torch
from torch import Tensor

from hcp.attention import attention_probs, fused_attention, map_columns


def _inputs(*, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return {
        "query": draw(3, 2, 12, 8) * 2,
        "key": draw(3, 2, 7, 8),
        "value": draw(3, 2, 7, 8),
        "key_h": draw(3, 2, 7, 8),
        "token_mask": torch.tensor(
            [[0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]],
            dtype=torch.bool,
        ),
    }


def _explicit(
    query: Tensor, key: Tensor, value: Tensor, key_h: Tensor, token_mask: Tensor, gamma: float
) -> Tensor:
    scale = query.shape[-1] ** -0.5
    frozen = torch.softmax(query @ key.transpose(-1, -2) * scale, dim=-1)
    human = torch.softmax(query @ key_h.transpose(-1, -2) * scale, dim=-1)
    return (frozen + gamma * human * token_mask[:, None, None]) @ value


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, -2.0])
def test_fused_form_equals_the_explicit_maps(gamma: float) -> None:
    inputs = _inputs()
    fused = fused_attention(**inputs, gamma=gamma)
    assert torch.allclose(fused, _explicit(**inputs, gamma=gamma), atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_to_once(dtype: torch.dtype) -> None:
    rounded = {n: t.to(dtype) if t.is_floating_point() else t for n, t in _inputs().items()}
    fused = fused_attention(**rounded, gamma=1.0)
    assert fused.dtype == dtype
    same_inputs = {n: t.float() if t.is_floating_point() else t for n, t in rounded.items()}
    exact = _explicit(**same_inputs, gamma=1.0)
    half_step = torch.finfo(dtype).eps / 2 * exact.abs()
    assert ((fused.float() - exact).abs() <= half_step + 1e-6).all()


def test_a_row_without_human_tokens_keeps_every_bit_of_the_base() -> None:
    inputs = _inputs()
    base = torch.nn.functional.scaled_dot_product_attention(
        inputs["query"], inputs["key"], inputs["value"]
    )
    fused = fused_attention(**inputs, gamma=3.0)
    assert torch.equal(fused[2], base[2])
    assert not torch.allclose(fused[0], base[0], atol=1e-2)


def test_gradients_in_float64() -> None:
    inputs = _inputs(dtype=torch.float64)
    mask = inputs.pop("token_mask")
    gamma = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    leaves = [tensor[:1, :1, :4].clone().requires_grad_() for tensor in inputs.values()]

    def call(query: Tensor, key: Tensor, value: Tensor, key_h: Tensor, gamma: Tensor) -> Tensor:
        return fused_attention(query, key, value, key_h, mask[:1, :4], gamma=gamma)

    assert torch.autograd.gradcheck(call, (*leaves, gamma))


def test_an_attention_mask_applies_to_both_maps() -> None:
    inputs = _inputs()
    hidden = torch.zeros(1, 1, 1, 7)
    hidden[..., 2] = -torch.inf
    masked = fused_attention(**inputs, gamma=1.0, attention_mask=hidden)
    without = {
        name: torch.cat([t[:, :, :2], t[:, :, 3:]], dim=2) if t.ndim == 4 else t
        for name, t in inputs.items()
        if name != "query"
    }
    without["token_mask"] = torch.cat(
        [inputs["token_mask"][:, :2], inputs["token_mask"][:, 3:]], dim=1
    )
    expected = fused_attention(inputs["query"], **without, gamma=1.0)
    assert torch.allclose(masked, expected, atol=1e-5)


def test_map_rows_sum_to_one_and_average_the_heads() -> None:
    inputs = _inputs()
    found = attention_probs(inputs["query"], inputs["key_h"]).mean(dim=1)
    assert found.shape == (3, 12, 7)
    assert torch.allclose(found.sum(dim=-1), torch.ones(3, 12), atol=1e-6)
    one = [attention_probs(inputs["query"][:, h], inputs["key_h"][:, h]) for h in range(2)]
    assert torch.allclose(found, (one[0] + one[1]) / 2, atol=1e-6)


@pytest.mark.parametrize("wanted", [1, 3, 8, 20])
def test_columns_are_those_of_the_whole_map(wanted: int) -> None:
    inputs = _inputs()
    columns = torch.randint(0, 7, (3, wanted), generator=torch.Generator().manual_seed(1))
    whole = attention_probs(inputs["query"], inputs["key_h"]).mean(dim=1)
    expected = whole.gather(2, columns[:, None].expand(-1, 12, -1))
    found = map_columns(inputs["query"], inputs["key_h"], columns)
    assert torch.allclose(found, expected, atol=1e-6)


def test_column_gradients_reach_the_human_keys() -> None:
    inputs = _inputs(dtype=torch.float64)
    key_h = inputs["key_h"][:1, :1].clone().requires_grad_()
    columns = torch.tensor([[1, 4]])
    assert torch.autograd.gradcheck(
        lambda k: map_columns(inputs["query"][:1, :1], k, columns), (key_h,)
    )


def test_wrong_shapes_are_refused() -> None:
    inputs = _inputs()
    inputs["token_mask"] = inputs["token_mask"][:, :5]
    with pytest.raises(ValueError, match="token_mask"):
        fused_attention(**inputs, gamma=1.0)
