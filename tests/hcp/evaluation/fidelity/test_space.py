"""Pictures of several sizes in one network, and photos cut to the pictures' size."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hcp.evaluation.fidelity.space import FeatureSpace, fitted


class Mean(nn.Module):
    """Mean colour; notes how many pictures each call had."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        assert images.dtype == torch.uint8
        self.calls.append(tuple(images.shape))
        return images.float().mean(dim=(2, 3))


def test_pictures_of_several_sizes_keep_their_order() -> None:
    images = [np.full((4 + i % 2, 6, 3), i, np.uint8) for i in range(7)]
    network = Mean()
    found = FeatureSpace(network, batch_size=3).embed(images)
    assert found.dtype == np.float32
    assert found.tolist() == [[i] * 3 for i in range(7)]
    assert network.calls == [(3, 3, 4, 6), (1, 3, 4, 6), (3, 3, 5, 6)]
    with pytest.raises(ValueError, match="got none"):
        FeatureSpace(network).embed([])


def test_a_photo_is_cut_to_its_middle_and_resized() -> None:
    photo = np.zeros((40, 80, 3), np.uint8)
    photo[:, 20:60] = 200  # the middle square
    found = fitted(photo, height_px=16, width_px=16)
    assert found.shape == (16, 16, 3)
    assert (abs(found.astype(int) - 200) <= 12).all()  # Lanczos rings at the borders
    assert fitted(found, height_px=16, width_px=16) is found
    assert fitted(photo, height_px=10, width_px=30).shape == (10, 30, 3)
