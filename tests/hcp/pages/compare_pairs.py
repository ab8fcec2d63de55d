"""Pairs of pictures that a test can tell apart: a's are red, b's are blue."""

import numpy as np

from hcp.pages.votes import PicturePair

NAMES = {"a": "the-base-model", "b": "the-candidate"}


RED, BLUE = (200, 20, 20), (20, 20, 200)


def coloured(colour: tuple[int, int, int], seed: int, side_px: int) -> np.ndarray:
    grain = np.random.default_rng(seed).integers(0, 40, (side_px, side_px, 1), dtype=np.uint8)
    return np.asarray(colour, dtype=np.uint8) + grain


def make_pairs(n: int, *, side_px: int = 24) -> list[PicturePair]:
    return [
        PicturePair(
            prompt=f"person number {i // 2}", name=f"seed {i % 2}",
            a=coloured(RED, 2 * i, side_px), b=coloured(BLUE, 2 * i + 1, side_px),
        )
        for i in range(n)
    ]  # fmt: skip
