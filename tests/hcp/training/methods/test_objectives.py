"""Losses beside HcP's: weights of people by hand, and the base's own maps."""

import pytest
import torch

from hcp.training.methods.names import RegionConfig
from hcp.training.methods.objectives import region_weight


def test_weights_by_hand() -> None:
    masks = torch.zeros(3, 4, 4, dtype=torch.uint8)
    masks[0, :, :2] = 2  # the left half
    masks[2] = 1
    weight = region_weight(masks, (2, 2), RegionConfig(inside=3.0, outside=1.0))
    expected = torch.tensor([[1.5, 0.5], [1.5, 0.5]])
    torch.testing.assert_close(weight[0], expected)
    torch.testing.assert_close(weight[1:], torch.ones(2, 2, 2))
    assert weight.mean(dim=(1, 2)).tolist() == pytest.approx([1.0] * 3)


def test_a_pixel_that_is_half_person_weighs_in_between() -> None:
    masks = torch.zeros(1, 2, 4, dtype=torch.uint8)
    masks[0, :, :1] = 1
    weight = region_weight(masks, (1, 2), RegionConfig(inside=2.0, outside=0.0))
    torch.testing.assert_close(weight, torch.tensor([[[2.0, 0.0]]]))


def test_a_photo_without_what_counts_weighs_alike() -> None:
    masks = torch.ones(1, 2, 2, dtype=torch.uint8)
    weight = region_weight(masks, (2, 2), RegionConfig(inside=0.0, outside=1.0))
    torch.testing.assert_close(weight, torch.ones(1, 2, 2))
