"""The share of attention inside people, by hand."""

import math

import pytest
import torch

from hcp.config import Stage
from hcp.inject import LayerMap
from hcp.training.methods.alignment import attention_inside, mean_where


def layer(stage: Stage, maps: torch.Tensor) -> LayerMap:
    return LayerMap(site=stage, stage=stage, height=2, width=2, attn_map=maps)


def test_the_mean_over_tokens_and_layers_inside_the_masks() -> None:
    masks = torch.zeros(2, 4, 4, dtype=torch.uint8)
    masks[:, :, :2] = 1  # the left half: pixels 0 and 2 of a 2 x 2 map
    valid = torch.tensor([[True, True], [True, False]])
    mid = torch.tensor([
        [[3.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]],  # 0.75 and 0.5 inside
        [[1.0, 9.0], [0.0, 9.0], [0.0, 9.0], [0.0, 9.0]],  # 1.0, and a token that is none
    ])  # fmt: skip
    up = torch.ones(2, 4, 2)  # 0.5 everywhere
    found = attention_inside([layer("mid", mid), layer("up", up)], valid, masks)
    assert found["mid"].item() == pytest.approx((0.75 + 0.5 + 1.0) / 3)
    assert found["up"].item() == pytest.approx(0.5)
    assert found[None].item() == pytest.approx((2.25 + 1.5) / 6)


def test_photos_without_people_and_rows_without_words_do_not_count() -> None:
    masks = torch.zeros(1, 4, 4, dtype=torch.uint8)
    valid = torch.tensor([[True]])
    found = attention_inside([layer("mid", torch.ones(1, 4, 1))], valid, masks)
    assert math.isnan(found[None].item())
    assert attention_inside([], valid, masks) == {}


def test_a_mean_of_what_counts() -> None:
    values, counted = torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False])
    assert mean_where(values, counted).item() == 1.5
