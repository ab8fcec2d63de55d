"""Encoded examples become a batch."""

from dataclasses import replace

import pytest
import torch

from hcp.latents import LatentScale
from hcp.training.encoded import EncodedBatch, EncodedExample

EXAMPLE = EncodedExample(
    mean=torch.zeros(4, 2, 3), std=torch.ones(4, 2, 3), text=torch.zeros(5, 8),
    pooled=torch.ones(6), input_ids=torch.arange(5), token_kinds=torch.zeros(5, dtype=torch.long),
    scale=LatentScale(factor=0.5),
)  # fmt: skip


@pytest.mark.parametrize("pooled", [True, False], ids=["sdxl", "sd"])
def test_examples_are_stacked_in_their_order(pooled: bool) -> None:
    first = EXAMPLE if pooled else replace(EXAMPLE, pooled=None)
    batch = EncodedBatch.stack([first, replace(first, mean=first.mean + 1)])
    assert batch.mean.shape == batch.std.shape == (2, 4, 2, 3)
    assert batch.mean[1].eq(1).all()
    assert (batch.text.shape, batch.input_ids.shape) == ((2, 5, 8), (2, 5))
    assert (None if batch.pooled is None else batch.pooled.shape) == ((2, 6) if pooled else None)
    assert batch.scale == EXAMPLE.scale
