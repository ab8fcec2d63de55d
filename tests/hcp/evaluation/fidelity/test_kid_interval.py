"""The bootstrap of KID over prompts: its sums, its resamples, and what it can tell apart."""

import numpy as np
import pytest

from hcp.evaluation.fidelity.distances import Features, kid
from hcp.evaluation.fidelity.kid_interval import KidSums, kid_interval

GROUPS = tuple(i // 3 for i in range(60))  # 20 prompts, 3 seeds each


def features(n: int, *, seed: int, shift: float = 0.0) -> Features:
    return np.random.default_rng(seed).normal(size=(n, 8)) + shift


def sums(pictures: Features, photos: Features) -> KidSums:
    return KidSums.of(pictures, photos, groups=GROUPS[: len(pictures)], n_groups=20)


def test_each_prompt_once_gives_kid_itself() -> None:
    pictures, photos = features(60, seed=0, shift=0.2), features(90, seed=1)
    found = sums(pictures, photos)
    assert found.kid()[0] == pytest.approx(kid(pictures, photos), abs=1e-9)
    assert found.kid(np.ones((4, 20))) == pytest.approx([kid(pictures, photos)] * 4, abs=1e-9)


def test_left_out_prompts_leave_the_kid_of_the_others() -> None:
    pictures, photos = features(60, seed=0, shift=0.2), features(90, seed=1)
    weights = np.zeros((1, 20))
    weights[0, 5:12] = 1
    alone = kid(pictures[15:36], photos)
    assert sums(pictures, photos).kid(weights)[0] == pytest.approx(alone, abs=1e-9)


def test_copies_of_a_prompt_are_never_paired_with_each_other() -> None:
    # every prompt twice: the mean over pairs of different prompts stays, so does that within one
    pictures, photos = features(60, seed=0, shift=0.2), features(90, seed=1)
    found = sums(pictures, photos)
    one_picture = KidSums.of(pictures, photos, groups=tuple(range(60)), n_groups=60)
    twice = one_picture.kid(np.full((1, 60), 2.0))[0]
    assert twice == pytest.approx(found.kid()[0], abs=1e-9)


def test_a_resample_without_two_pictures_has_no_kid() -> None:
    pictures, photos = features(20, seed=0), features(90, seed=1)
    one_picture = KidSums.of(pictures, photos, groups=tuple(range(20)), n_groups=21)
    weights = np.zeros((3, 21))
    weights[0, 4], weights[1, 20], weights[2, :2] = 20, 20, 1
    found = one_picture.kid(weights)
    assert np.isnan(found).tolist() == [True, True, False]


def test_a_clear_difference_excludes_zero_and_noise_does_not() -> None:
    photos, base = features(90, seed=1), features(60, seed=0, shift=0.5)
    better = kid_interval(sums(base - 0.3, photos), sums(base, photos), n_resamples=500)
    assert better.difference.high < 0
    assert better.difference.n == 20
    assert better.relative is not None
    assert -1.1 < better.relative.low < better.relative.mean < better.relative.high < -0.4
    own, other = kid(base - 0.3, photos), kid(base, photos)
    assert better.difference.mean == pytest.approx(own - other, abs=1e-9)
    assert better.relative.mean == pytest.approx((own - other) / other, abs=1e-9)
    same = kid_interval(sums(base, photos), sums(base, photos), n_resamples=500)
    assert (same.difference.low, same.difference.high) == (0.0, 0.0)
    noise = kid_interval(sums(features(60, seed=5), photos), sums(features(60, seed=6), photos))
    assert noise.difference.low < 0 < noise.difference.high
    assert noise.relative is None  # of a distance that may be 0


def test_the_interval_holds_as_often_as_it_says() -> None:
    # the true difference of two models that draw from one distribution is 0
    rng, held = np.random.default_rng(7), 0
    photos = rng.normal(size=(80, 6))
    for _ in range(100):
        prompts = rng.normal(size=(25, 1, 6)) * 0.7  # pictures of one prompt resemble each other
        drawn = [(prompts + rng.normal(size=(25, 3, 6))).reshape(75, 6) + 0.3 for _ in range(2)]
        groups = [i // 3 for i in range(75)]
        ours, theirs = (KidSums.of(x, photos, groups=groups, n_groups=25) for x in drawn)
        found = kid_interval(ours, theirs, n_resamples=200).difference
        held += found.low <= 0 <= found.high
    assert 88 <= held <= 100


def test_prompts_without_pictures_are_no_units() -> None:
    photos, drawn = features(90, seed=1), features(30, seed=0)
    half = sums(drawn, photos)  # the first 10 of 20 prompts
    found = kid_interval(half, half, n_resamples=50)
    assert found.difference.n == 10
    other = KidSums.of(drawn, photos, groups=[15] * 30, n_groups=20)
    with pytest.raises(ValueError, match="the same prompts"):
        kid_interval(half, other)
