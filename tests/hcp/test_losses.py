"""The alignment loss: hand-computed values, invariances, and every degenerate input of 5.5."""

import math

import pytest
import torch
from torch import Tensor

from hcp.losses import alignment_loss, stage_weight

DISTANCES = ["cosine", "centred_cosine"]


def _maps(seed: int = 0, *, batch: int = 2, pixels: int = 64, tokens: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, pixels, tokens, generator=generator)


MASK = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 1, 0]], dtype=torch.bool)


def test_cosine_by_hand() -> None:
    attn = torch.tensor([[[1.0, 9.0], [0.0, 9.0], [0.0, 9.0], [1.0, 9.0]]])
    target = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    loss = alignment_loss(attn, target, torch.tensor([[True, False]]))
    assert loss.tolist() == pytest.approx([1 - 1 / math.sqrt(2)], abs=1e-6)


def test_centred_cosine_is_one_minus_the_correlation() -> None:
    attn, target = _maps(), _maps(1)[..., 0]
    found = alignment_loss(attn, target, MASK, distance="centred_cosine")
    r = [
        torch.corrcoef(torch.stack([attn[b, :, i], target[b]]))[0, 1]
        for b, i in ((0, 1), (0, 2), (1, 3))
    ]
    assert found[0].item() == pytest.approx(1 - (r[0] + r[1]).item() / 2, abs=1e-5)
    assert found[1].item() == pytest.approx(1 - r[2].item(), abs=1e-5)


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_map_equal_to_its_target_has_no_loss(distance: str) -> None:
    attn = _maps()
    loss = alignment_loss(attn, attn, MASK, distance=distance)
    assert loss.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_scale_of_map_and_target_does_not_matter(distance: str) -> None:
    attn, target = _maps(), _maps(1)
    expected = alignment_loss(attn, target, MASK, distance=distance)
    for a, t in ((1e-12, 1.0), (1e6, 1e-9), (1e-3, 1e8)):
        found = alignment_loss(attn * a, target * t, MASK, distance=distance)
        assert torch.allclose(found, expected, atol=1e-5)


def test_only_human_columns_count_even_if_the_others_are_broken() -> None:
    attn, target = _maps(), _maps(1)[..., 0]
    expected = alignment_loss(attn, target, MASK)
    attn[0, :, 0], attn[1, :, 1] = torch.nan, torch.inf
    attn.requires_grad_()
    found = alignment_loss(attn, target, MASK)
    assert torch.equal(found, expected)
    found.sum().backward()
    assert attn.grad is not None
    assert attn.grad.isfinite().all()
    assert (attn.grad[0, :, 0] == 0).all()


def test_tokens_without_a_target_are_left_out_of_the_mean() -> None:
    attn, target = _maps(), _maps(1)
    target[0, :, 2] = 0
    alone = MASK.clone()
    alone[0, 2] = False
    found = alignment_loss(attn, target, MASK)
    assert torch.equal(found, alignment_loss(attn, target, alone))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "case",
    ["no_token", "no_person", "flat_map", "flat_target", "zero_map", "both_zero", "tiny_map"],
)
def test_degenerate_inputs_give_finite_values_and_gradients(
    case: str, dtype: torch.dtype, distance: str
) -> None:
    attn, target, mask = _maps(), _maps(1)[..., 0], MASK.clone()
    if case == "no_token":
        mask[:] = False
    if case in ("no_person", "both_zero"):
        target = torch.zeros_like(target)
    if case == "flat_map":
        attn = torch.full_like(attn, 1 / 77)
    if case == "flat_target":
        target = torch.full_like(target, 0.3)
    if case in ("zero_map", "both_zero"):
        attn = torch.zeros_like(attn)
    if case == "tiny_map":
        attn = attn * 1e-7
    attn = attn.to(dtype).requires_grad_()
    loss = alignment_loss(attn, target.to(dtype), mask, distance=distance)
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    assert attn.grad is not None
    assert attn.grad.isfinite().all()
    if case in ("no_token", "no_person", "both_zero"):
        assert loss.tolist() == [0.0, 0.0]
    if case in ("flat_map", "flat_target") and distance == "centred_cosine":
        assert loss.tolist() == pytest.approx([1.0, 1.0], abs=1e-3)


@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_in_float64(distance: str) -> None:
    attn = _maps(pixels=9).double().requires_grad_()
    target = _maps(1, pixels=9)[..., 0].double()
    assert torch.autograd.gradcheck(
        lambda a: alignment_loss(a, target, MASK, distance=distance), (attn,)
    )


@pytest.mark.parametrize("distance", DISTANCES)
def test_descent_moves_attention_onto_the_person(distance: str) -> None:
    logits = torch.zeros(1, 64, 3, requires_grad=True)
    target = torch.zeros(1, 64)
    target[0, 20:30] = 1
    mask = torch.tensor([[False, True, False]])
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        alignment_loss(logits.softmax(-1), target, mask, distance=distance).sum().backward()
        optimizer.step()
    human = logits.softmax(-1)[0, :, 1]
    assert human[20:30].min() > 3 * human[40:].max()


@pytest.mark.parametrize(
    ("attn", "target", "mask", "message"),
    [
        ((2, 64), (2, 64), (2, 5), "attn_map"),
        ((2, 64, 5), (2, 63), (2, 5), "target"),
        ((2, 64, 5), (1, 64), (2, 5), "target"),
        ((2, 64, 5), (2, 64), (2, 4), "token_mask"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    attn: tuple[int, ...], target: tuple[int, ...], mask: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        alignment_loss(torch.rand(attn), torch.rand(target), torch.ones(mask, dtype=torch.bool))


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="distance"):
        alignment_loss(_maps(), _maps(), MASK, distance="l2")
    with pytest.raises(ValueError, match="schedule"):
        stage_weight("middle", torch.tensor([1]), 1000)
    with pytest.raises(ValueError, match="num_train_timesteps"):
        stage_weight("early", torch.tensor([1]), 0)


def test_stage_weights_by_hand() -> None:
    t = torch.tensor([0, 250, 500, 999])
    assert stage_weight("early", t, 1000).tolist() == pytest.approx(
        [0.0, 0.382683, 0.707107, 0.999999], abs=1e-5
    )
    assert stage_weight("late", t, 1000).tolist() == pytest.approx(
        [1.0, 0.923880, 0.707107, 0.001571], abs=1e-5
    )
    assert stage_weight("constant", t, 1000).tolist() == [1.0] * 4
    assert stage_weight("off", t, 1000).tolist() == [0.0] * 4
    assert stage_weight("early", t, 1000).dtype == torch.float32
