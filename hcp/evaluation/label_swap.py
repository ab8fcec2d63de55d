"""Do two models differ over the same prompts? A test that swaps their labels within prompts.

Were the models alike, each prompt's difference could as well have the other sign. The unit is the
prompt, since pictures of one prompt resemble each other; no distribution is assumed.

Dimension legend: N prompts, K numbers of a prompt (a mean, or shares of categories), F flips of
signs, R simulated evaluations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

N_SIMULATED, N_FLIPS = 400, 999
"""Of the power: simulated evaluations, and flips that judge each of them."""
_MOST_DOUBLINGS = 40
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapTest:
    """What swapping says of one measure."""

    size: float  # of the difference, see ``size_of``
    chance: float  # mean size where labels are swapped at random
    p_value: float  # two-sided
    n_prompts: int


def size_of(mean_NK: Numbers) -> Numbers:
    """How large mean differences [..., K] are.

    |mean| of one number; of K shares the half sum of their absolute differences, which is the share
    of people who would have to change their category (total variation distance).
    """
    sizes = np.abs(mean_NK).sum(axis=-1)
    return sizes if mean_NK.shape[-1] == 1 else sizes / 2


def swap_test(difference_NK: Numbers, *, n_flips: int = 9999, seed: int = 0) -> SwapTest:
    """Test paired differences of N prompts.

    p is exact where there are no more than ``n_flips`` ways to swap, else by so many at random.

    Raises:
        ValueError: no prompt.
    """
    if not len(difference_NK):
        raise ValueError("swap_test needs the differences of at least one prompt, got none")
    observed = float(size_of(difference_NK.mean(axis=0)))
    signs_FN, extra = _signs(n_flips, len(difference_NK), seed)
    swapped = size_of(signs_FN @ difference_NK)
    larger = int((swapped >= observed - _EPSILON).sum())
    return SwapTest(
        size=observed,
        chance=float(swapped.mean()),
        p_value=(extra + larger) / (extra + len(signs_FN)),
        n_prompts=len(difference_NK),
    )


def _signs(n_flips: int, n: int, seed: int) -> tuple[Numbers, int]:
    """[F, N], each row a mean over prompts with some labels swapped; and a count to add.

    All 2^N rows where they are no more than ``n_flips``. Random ones lack the labels as they are,
    which count as one more (Phipson and Smyth 2010).
    """
    if 2**n <= n_flips:
        swaps = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        swaps = np.random.default_rng(seed).integers(0, 2, size=(n_flips, n))
    return (2.0 * swaps - 1.0) / n, int(2**n > n_flips)


def smallest_found(
    difference_NK: Numbers, direction_K: Numbers, *, alpha: float, power: float, seed: int = 0
) -> float | None:
    """Size of the smallest shift that the test would find, by simulation.

    Evaluations are simulated by drawing prompts from those at hand, their mean difference taken
    out and a shift along ``direction_K`` put in.

    Args:
        direction_K: the shift, of size 1 (``size_of``).
        alpha: a p-value at or below it finds a shift; with corrected tests the sharpest level.
        power: share of the evaluations in which it is to be found.
    Returns:
        None where no shift of any size would be: too few prompts for this ``alpha``.
    """
    n, rng = len(difference_NK), np.random.default_rng([seed, 1])
    spread = difference_NK - difference_NK.mean(axis=0)
    drawn_RNK = spread[rng.integers(n, size=(N_SIMULATED, n))]
    signs_FN, extra = _signs(N_FLIPS, n, seed)
    swapped_RFK = signs_FN @ drawn_RNK
    mean_RK, tilt_F = drawn_RNK.mean(axis=1), signs_FN.sum(axis=1)

    def found(shift: float) -> float:
        sizes_RF = size_of(swapped_RFK + shift * tilt_F[:, None] * direction_K)
        observed_R = size_of(mean_RK + shift * direction_K)
        larger = (sizes_RF >= observed_R[:, None] - _EPSILON).sum(axis=1)
        return float(((extra + larger) / (extra + len(signs_FN)) <= alpha).mean())

    scale = float(np.abs(spread).max())
    high = scale / n or 100 * _EPSILON
    for _ in range(_MOST_DOUBLINGS):
        if found(high) >= power:
            break
        high *= 2
    else:
        return None
    low = 0.0
    while high - low > 0.02 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return high if scale > 0 else 0.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the order given (Holm 1979)."""
    n, largest = len(p_values), 0.0
    corrected = [0.0] * n
    for rank, i in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (n - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
