"""KID, FID and CMMD against torchmetrics and against plain loops over all pairs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from hcp.evaluation.fidelity.distances import Features, cmmd, fid, kid


def features(n: int, *, seed: int, shift: float = 0.0, width: int = 24) -> Features:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, width)) @ rng.normal(size=(width, width))
    return mixed / math.sqrt(width) + shift


class AsGiven(nn.Module):
    """Lets torchmetrics take features as its pictures."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def in_torchmetrics(metric: Any, pictures: Features, photos: Features) -> Any:
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(photos), real=True)
    metric.update(torch.from_numpy(pictures), real=False)
    return metric.compute()


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_kid_is_that_of_torchmetrics_over_all_pairs(shift: float) -> None:
    photos, pictures = features(80, seed=0), features(80, seed=1, shift=shift)
    whole = KernelInceptionDistance(AsGiven(24), subsets=1, subset_size=80)  # type: ignore[arg-type]
    expected, _ = in_torchmetrics(whole, pictures, photos)
    assert kid(pictures, photos) == pytest.approx(float(expected), abs=1e-6, rel=1e-6)


@pytest.mark.parametrize(("n_photos", "n_pictures"), [(90, 70), (200, 40)])
def test_fid_is_that_of_torchmetrics(n_photos: int, n_pictures: int) -> None:
    photos, pictures = features(n_photos, seed=0), features(n_pictures, seed=1, shift=0.2)
    expected = in_torchmetrics(FrechetInceptionDistance(AsGiven(24)), pictures, photos)
    assert fid(pictures, photos) == pytest.approx(float(expected), rel=1e-6)


def test_fid_of_fewer_pictures_than_features_keeps_its_formula() -> None:
    photos, pictures = features(12, seed=0), features(9, seed=1, shift=0.2)
    # torchmetrics takes roots of eigenvalues that are 0 but for rounding, so it is less exact here
    expected = in_torchmetrics(FrechetInceptionDistance(AsGiven(24)), pictures, photos)
    assert fid(pictures, photos) == pytest.approx(float(expected), rel=1e-5)


def test_kid_and_cmmd_are_their_formulas_pair_by_pair() -> None:
    x, y = features(7, seed=0), features(5, seed=1, shift=0.5)

    def polynomial(a: Features, b: Features) -> float:
        return (sum(float(p * q) for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    def gaussian(a: Features, b: Features) -> float:
        a, b = a / math.sqrt(sum(a**2)), b / math.sqrt(sum(b**2))
        return math.exp(-sum((a - b) ** 2) / (2 * 10**2))

    def mean(
        kernel: Callable[[Features, Features], float], a: Features, b: Features, itself: bool
    ) -> float:
        values = [
            kernel(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if itself or i != j
        ]
        return sum(values) / len(values)

    unbiased = [mean(polynomial, each, each, itself=False) for each in (x, y)]
    expected = sum(unbiased) - 2 * mean(polynomial, x, y, itself=True)
    assert kid(x, y) == pytest.approx(expected, abs=1e-9)
    biased = [mean(gaussian, each, each, itself=True) for each in (x, y)]
    expected = 1000 * (sum(biased) - 2 * mean(gaussian, x, y, itself=True))
    assert cmmd(x, y) == pytest.approx(expected, abs=1e-9)


def test_equal_sets_are_at_no_distance_and_further_ones_further() -> None:
    photos = features(60, seed=0)
    assert cmmd(photos, photos) == pytest.approx(0.0, abs=1e-9)
    assert fid(photos, photos) == pytest.approx(0.0, abs=1e-9)
    for distance in (kid, fid, cmmd):
        near, far = (distance(photos + shift, photos) for shift in (0.2, 0.6))
        assert near < far


def test_kid_of_two_samples_of_one_distribution_is_about_zero() -> None:
    rng = np.random.default_rng(3)
    values = [kid(rng.normal(size=(40, 8)), rng.normal(size=(60, 8))) for _ in range(30)]
    assert abs(np.mean(values)) < 2 * np.std(values) / math.sqrt(30)
    assert min(values) < 0 < max(values)


def test_many_rows_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(50, seed=0), features(33, seed=1, shift=0.1)
    whole = kid(x, y), cmmd(x, y)
    monkeypatch.setattr("hcp.evaluation.fidelity.distances._ROWS", 7)
    assert (kid(x, y), cmmd(x, y)) == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("distance", [kid, fid, cmmd])
def test_too_few_pictures_or_other_widths_are_refused(distance: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match=r"at least 2 pictures.*\[1, 24\]"):
        distance(features(1, seed=0), features(9, seed=1))
    with pytest.raises(ValueError, match=r"\[9, 23\]"):
        distance(features(9, seed=0), features(9, seed=1, width=23))
