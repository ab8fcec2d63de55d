"""The feature network of the distances between distributions."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image8 = NDArray[np.uint8]


class Space(Protocol):
    """Pictures to features; ``hcp.evaluation.fidelity.space.FeatureSpace`` is one."""

    def embed(self, images: Sequence[Image8]) -> NDArray[np.float32]:
        """[N, D] of N pictures."""
        ...


def feature_space(name: str | None, *, device: str) -> Space | str:
    """The network of that name, or why there is none."""
    return f"feature network {name!r}: there is none yet"
