"""Rows of a U-Net batch, told by number or recognised by their text embeddings."""

import pytest
import torch
from torch import Tensor

from hcp.prompt_rows import NumberedRows, Prompts, RecognisedRows

MASK = torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)


def text(seed: int, rows: int = 3, tokens: int = 4) -> Tensor:
    return torch.randn(rows, tokens, 8, generator=torch.Generator().manual_seed(seed))


def rows_of(*announced: tuple[Tensor, Tensor | None, Tensor]) -> RecognisedRows:
    rows = RecognisedRows()
    for embeds, negative, mask in announced:
        rows.add(Prompts(embeds=embeds, negative=negative, token_mask=mask))
    return rows


def test_numbered_rows_are_exactly_those() -> None:
    rows = NumberedRows(MASK)
    assert torch.equal(rows.mask(text(0)), MASK)
    for wrong in (text(0, rows=6), text(0, tokens=5)):
        with pytest.raises(ValueError, match="token mask is for 3 rows of 4 tokens, the U-Net got"):
            rows.plan(wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_any_rows_in_any_order_and_type(dtype: torch.dtype) -> None:
    prompts, negative = text(0), text(1)
    rows = rows_of((prompts, negative, MASK))
    batch = torch.cat([prompts[2:], negative, prompts[:1], negative[1:2]]).to(dtype)
    expected = torch.zeros(6, 4, dtype=torch.bool)
    expected[0], expected[4] = MASK[2], MASK[0]
    assert torch.equal(rows.mask(batch), expected)
    plan = rows.plan(batch)
    assert plan is not None
    assert plan.index is not None
    assert plan.index.tolist() == [0, 4]
    assert rows.plan(batch) is plan  # once for all layers
    assert rows.plan(negative) is None


def test_a_batch_changed_in_place_is_looked_at_again() -> None:
    prompts = text(0)
    rows = rows_of((prompts, None, MASK))
    batch = prompts.clone()
    assert torch.equal(rows.mask(batch), MASK)
    batch.copy_(prompts.flip(0))
    assert torch.equal(rows.mask(batch), MASK.flip(0))
    batch[1] += 1e-6
    with pytest.raises(ValueError, match=r"row 1 of the U-Net's 3 rows"):
        rows.plan(batch)


def test_embeddings_that_are_no_numbers_are_still_recognised() -> None:
    prompts = text(0)
    prompts[0] = torch.nan
    assert torch.equal(rows_of((prompts, None, MASK)).mask(prompts.clone()), MASK)


def test_more_prompts_of_one_call_and_the_last_one_wins() -> None:
    first, second, longer = text(0), text(1), text(2, tokens=9)
    rows = rows_of(
        (first, None, MASK), (second, first, MASK), (longer, None, torch.ones(3, 9).bool())
    )
    assert not rows.mask(first).any()  # a negative one of the later prompts
    assert torch.equal(rows.mask(second), MASK)
    assert rows.mask(longer).all()


def test_one_prompt_may_be_the_negative_of_another() -> None:
    prompts = text(0)
    negative = prompts[[1, 0, 1]]
    mask = rows_of((prompts, negative, MASK)).mask(torch.cat([negative, prompts, prompts]))
    assert torch.equal(mask, torch.cat([torch.zeros_like(MASK), MASK, MASK]))


def test_a_prompt_that_is_its_own_negative_is_told_by_the_usual_order_or_not_at_all() -> None:
    prompts = text(0)
    rows = rows_of((prompts, prompts, MASK))
    guided = rows.mask(torch.cat([prompts, prompts]))
    assert torch.equal(guided, torch.cat([torch.zeros_like(MASK), MASK]))
    assert not rows.mask(prompts[1:2]).any()  # without human words it does not matter
    with pytest.raises(ValueError, match="give another negative prompt"):
        rows.mask(prompts)


def test_nothing_known_is_said_so() -> None:
    with pytest.raises(ValueError, match=r"known: none.*token_mask\(mask\).*detach"):
        RecognisedRows().plan(text(0))
