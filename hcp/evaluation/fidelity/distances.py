"""KID, FID and CMMD between two sets of pictures, from their features alone: plain numpy.

Dimension legend: N pictures, M photos, D features.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]
"""[N, D], one row a picture."""
Kernel = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Rows of two sets, [N, D] and [M, D] -> [N, M]."""

CMMD_SIGMA = 10.0
CMMD_SCALE = 1000.0
_ROWS = 1024  # of a kernel matrix at a time: memory does not grow with N * M


def kid(pictures: Features, photos: Features) -> float:
    """Kernel Inception distance (Binkowski et al. 2018), times one; 0 for equal distributions.

    The squared maximum mean discrepancy with the kernel (x . y / D + 1)^3. Over all pairs at once,
    the unbiased estimator: it may be below 0, draws no random subsets, and does not shrink with
    more pictures. Tables often show 1,000 times the number.

    Raises:
        ValueError: fewer than 2 rows, or other widths.
    """
    ours, real = _checked(pictures, photos)
    within = mean_of_pairs(ours) + mean_of_pairs(real)
    return within - 2.0 * _sum(ours, real, polynomial_kernel) / (len(ours) * len(real))


def fid(pictures: Features, photos: Features) -> float:
    """Fréchet distance between the two sets taken as normal distributions (Heusel et al. 2017).

    It is biased: fewer pictures give a larger number, so only sets of one size compare.

    Raises:
        ValueError: fewer than 2 rows, or other widths.
    """
    ours, real = _checked(pictures, photos)
    shift = ours.mean(axis=0) - real.mean(axis=0)
    ours, real = _spread(ours), _spread(real)
    # tr sqrt(S T) is the sum of the singular values of A B^T, where S = A^T A and T = B^T B.
    common = np.linalg.svd(ours @ real.T, compute_uv=False).sum()
    return float(shift @ shift + (ours**2).sum() + (real**2).sum() - 2.0 * common)


def cmmd(pictures: Features, photos: Features) -> float:
    """CMMD (Jayasumana et al. 2024), times 1,000 as they do; 0 for equal sets.

    The squared maximum mean discrepancy with a Gaussian kernel of sigma 10 on features of length 1;
    theirs are CLIP's image embeddings, and other features give another number. As in their code
    each picture is also paired with itself (Gretton et al. 2012, Eq. 5).

    Raises:
        ValueError: fewer than 2 rows, or other widths.
    """
    ours, real = (_unit(each) for each in _checked(pictures, photos))
    within = _sum(ours, ours, gaussian_kernel) / len(ours) ** 2
    within += _sum(real, real, gaussian_kernel) / len(real) ** 2
    between = _sum(ours, real, gaussian_kernel) / (len(ours) * len(real))
    return CMMD_SCALE * (within - 2.0 * between)


def polynomial_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """KID's (x . y / D + 1)^3."""
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def kernel_of_itself(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The polynomial kernel of each row with itself, [N]."""
    return ((x**2).sum(axis=1) / x.shape[1] + 1.0) ** 3


def mean_of_pairs(x: NDArray[np.float64]) -> float:
    """The polynomial kernel's mean over all pairs of two different rows."""
    total = _sum(x, x, polynomial_kernel) - float(kernel_of_itself(x).sum())
    return total / (len(x) * (len(x) - 1))


def gaussian_kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """CMMD's exp(-|x - y|^2 / (2 sigma^2))."""
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None] - 2.0 * x @ y.T
    return np.exp(-squares / (2.0 * CMMD_SIGMA**2))


def row_blocks(n: int) -> Iterator[slice]:
    """The rows of a kernel matrix, a block at a time."""
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))


def _sum(x: NDArray[np.float64], y: NDArray[np.float64], kernel: Kernel) -> float:
    return float(sum(kernel(x[rows], y).sum() for rows in row_blocks(len(x))))


def _spread(x: NDArray[np.float64]) -> NDArray[np.float64]:
    # A with A^T A the covariance, of at most D rows
    centred = (x - x.mean(axis=0)) / np.sqrt(len(x) - 1)
    if len(x) <= x.shape[1]:
        return centred
    upper: Any = np.linalg.qr(centred, mode="r")  # its type does not know of modes
    return upper


def _unit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _checked(pictures: Features, photos: Features) -> tuple[NDArray[np.float64], ...]:
    ours, real = np.asarray(pictures, np.float64), np.asarray(photos, np.float64)
    fits = ours.ndim == real.ndim == 2 and ours.shape[1] == real.shape[1]
    if not fits or min(len(ours), len(real)) < 2:
        raise ValueError(
            "distances need features [N, D] and [M, D] of at least 2 pictures and 2 photos, "
            f"got {list(ours.shape)} and {list(real.shape)}"
        )
    return ours, real
