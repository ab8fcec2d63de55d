"""Drawn scenes rendered once into a memory map, and fixed batches of them, for the tiny pipeline.

Layout of a store: ``pixels.npy`` uint8 [N, S, S, 3] and ``captions.json``. Latents stand beside:
``latents.npy`` float16 [2, N, 4, S/8, S/8], of the pictures as drawn and mirrored (no caption of
the drawn world says left or right, so both are true).
"""

import json
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo.world.scenes import render_scene

logger = logging.getLogger(__name__)

SIZE_PX = 128
_CHUNK = 250


def _chunk(first_seed: int, n: int) -> tuple[NDArray[np.uint8], list[str]]:
    scenes = [render_scene(first_seed + i, size_px=SIZE_PX) for i in range(n)]
    return np.stack([s.image for s in scenes]), [s.caption for s in scenes]


def render_store(root: Path, *, n: int, first_seed: int, workers: int) -> None:
    """Render n scenes (seeds first_seed ...) into the store, unless it is already there whole."""
    root.mkdir(parents=True, exist_ok=True)
    if (root / "captions.json").is_file():
        return
    shape = (n, SIZE_PX, SIZE_PX, 3)
    pixels = np.lib.format.open_memmap(root / "pixels.npy", "w+", np.uint8, shape)
    starts = range(0, n, _CHUNK)
    sizes = [min(_CHUNK, n - s) for s in starts]
    captions: list[str] = []
    with ProcessPoolExecutor(workers) as pool:
        chunks = pool.map(_chunk, [first_seed + s for s in starts], sizes)
        for start, (images, words) in zip(starts, chunks, strict=True):
            pixels[start : start + len(images)] = images
            captions += words
            if start % 5000 == 0:
                logger.info("rendered %d of %d", start + len(images), n)
    pixels.flush()
    partial = root / "captions.json.part"
    partial.write_text(json.dumps(captions))
    os.replace(partial, root / "captions.json")


def open_pixels(root: Path) -> NDArray[np.uint8]:
    """The pictures of a rendered store, [N, S, S, 3], mapped read-only."""
    return np.load(root / "pixels.npy", mmap_mode="r")


def read_captions(root: Path) -> list[str]:
    """The captions of a rendered store, in the pictures' order."""
    return json.loads((root / "captions.json").read_text())


def batch_indices(step: int, *, seed: int, n: int, batch: int) -> NDArray[np.int64]:
    """The pictures of this step's batch: a function of (seed, step), so that a resume repeats."""
    return np.random.default_rng([seed, step]).integers(0, n, batch)
