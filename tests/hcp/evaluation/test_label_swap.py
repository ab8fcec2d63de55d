"""The label-swap test: its level, its power, and what it says of small samples."""

from itertools import product
from statistics import NormalDist

import numpy as np
import pytest

from hcp.evaluation.label_swap import holm, size_of, smallest_found, swap_test

ONE = np.ones(1)


def normal(seed: int, *, n: int = 40, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 10.0, size=(n, 1))


def test_p_is_the_share_of_swaps_that_differ_as_much() -> None:
    difference = np.array([[1.0], [2.0], [4.0], [-1.0], [3.0]])
    sums = [sum(s * d for s, d in zip(signs, difference[:, 0], strict=True))
            for signs in product((-1, 1), repeat=5)]  # fmt: skip
    exact = np.mean([abs(s) >= 9 for s in sums])
    test = swap_test(difference)
    assert test.p_value == exact
    assert swap_test(difference, n_flips=31).p_value == pytest.approx(exact, abs=0.2)
    assert (test.size, test.n_prompts) == (pytest.approx(1.8), 5)


def test_the_size_of_shares_is_how_many_people_would_have_to_change() -> None:
    assert size_of(np.array([0.1, -0.3, 0.2])) == pytest.approx(0.3)
    assert size_of(np.array([-2.0])) == 2.0


def test_models_alike_are_told_apart_as_seldom_as_alpha_says() -> None:
    p = np.array([swap_test(normal(i), n_flips=199, seed=i).p_value for i in range(400)])
    # 400 evaluations: three standard errors around the level, and flat in between
    for alpha in (0.05, 0.2, 0.5):
        assert abs((p <= alpha).mean() - alpha) < 3 * (alpha * (1 - alpha) / 400) ** 0.5


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_smallest_shift_found_is_that_of_the_normal_law_and_is_found(alpha: float) -> None:
    spread = normal(1)
    found = smallest_found(spread, ONE, alpha=alpha, power=0.8)
    z = NormalDist().inv_cdf
    expected = (z(1 - alpha / 2) + z(0.8)) * spread.std() / 40**0.5
    assert found == pytest.approx(expected, rel=0.15)
    hits = [
        swap_test(normal(i, shift=found * 10 / spread.std()), n_flips=999, seed=i).p_value <= alpha
        for i in range(100, 250)
    ]
    assert 0.68 < np.mean(hits) < 0.92


def test_a_smallest_shift_of_shares() -> None:
    rng = np.random.default_rng(0)
    shares = [rng.multinomial(8, [0.2] * 5, size=40) / 8 for _ in range(2)]
    step = np.array([1.0, -1.0, 0.0, 0.0, 0.0])
    found = smallest_found(shares[1] - shares[0], step, alpha=0.05, power=0.8)
    assert found is not None
    assert 0.05 < found < 0.25
    moved = shares[1] - shares[0] + 1.5 * found * step
    assert swap_test(moved).p_value < 0.05
    assert swap_test(moved).chance < found


def test_models_that_are_the_same_differ_by_nothing() -> None:
    same = swap_test(np.zeros((40, 1)))
    assert (same.size, same.p_value) == (0.0, 1.0)
    assert smallest_found(np.zeros((40, 1)), ONE, alpha=0.05, power=0.8) == 0.0


def test_too_few_prompts_find_nothing_however_large() -> None:
    # four prompts have sixteen swaps: no p is below an eighth
    assert smallest_found(normal(0, n=4), ONE, alpha=0.05, power=0.8) is None
    with pytest.raises(ValueError, match="at least one prompt"):
        swap_test(np.zeros((0, 1)))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
