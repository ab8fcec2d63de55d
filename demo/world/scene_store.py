"""Drawn scenes as arrays, rendered once and kept on disk: what the small models are trained on.

Training and held-out scenes come from seed ranges that do not meet, so that a figure on held-out
scenes is about people whom no model has seen. N scenes, M people in all, S the side in px.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo.world.scenes import Scene, render_scene
from demo.world.web import render_web_scene

Draw = Callable[..., Scene]
"""(seed, size_px=...) -> the scene."""
WORLDS: dict[str, Draw] = {"people": render_scene, "web": render_web_scene}
SIZE_PX = 256
TRAIN_FIRST_SEED = 1_000_000
HELD_OUT_FIRST_SEED = 2_000_000
_CHUNK = 50

_log = logging.getLogger(__name__)


def training_seeds(count: int) -> range:
    """The first ``count`` seeds of the training range (at most a million)."""
    return range(TRAIN_FIRST_SEED, TRAIN_FIRST_SEED + count)


def held_out_seeds(count: int) -> range:
    """The first ``count`` seeds of the held-out range."""
    return range(HELD_OUT_FIRST_SEED, HELD_OUT_FIRST_SEED + count)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnScenes:
    """N scenes with M people in all; person rows are grouped by scene, in scene order."""

    images: NDArray[np.uint8]  # [N, S, S, 3] RGB, possibly a memory map
    captions: NDArray[np.str_]  # [N]
    scene_of: NDArray[np.int64]  # [M], the scene of each person
    keypoints: NDArray[np.float32]  # [M, 17, 3] x_px, y_px, COCO visibility
    boxes: NDArray[np.float32]  # [M, 4] xyxy_px of the visible pixels
    packed_masks: NDArray[np.uint8]  # [M, S * S / 8] bits of the visible masks

    def people_of(self, scene: int) -> range:
        """The rows of one scene's people."""
        first, last = np.searchsorted(self.scene_of, (scene, scene + 1))
        return range(int(first), int(last))

    def mask(self, person: int) -> NDArray[np.bool_]:
        """The visible pixels of one person, [S, S]."""
        bits = np.unpackbits(self.packed_masks[person])
        return bits.reshape(self.images.shape[1:3]).astype(bool)


def draw_scenes(seeds: range, *, size_px: int = SIZE_PX, world: str = "people") -> DrawnScenes:
    """Render the scenes of these seeds in memory; people without a visible pixel are left out.

    ``world`` is a name of ``WORLDS``.
    """
    images = np.empty((len(seeds), size_px, size_px, 3), dtype=np.uint8)
    return _collect(seeds, images, WORLDS[world])


def stored_scenes(
    seeds: range, *, folder: Path, size_px: int = SIZE_PX, world: str = "people"
) -> DrawnScenes:
    """The same as ``draw_scenes``, rendered once per version of the renderer, images on disk."""
    stem = f"{world}-{seeds.start}-{len(seeds)}-{size_px}-{renderer_digest()}"
    images_path, rest_path = folder / f"{stem}.npy", folder / f"{stem}.npz"
    if not rest_path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _log.info("drawing %d scenes into %s", len(seeds), folder)
        shape = (len(seeds), size_px, size_px, 3)
        images = np.lib.format.open_memmap(images_path, mode="w+", dtype=np.uint8, shape=shape)
        scenes = _collect(seeds, images, WORLDS[world])
        images.flush()
        partial_path = rest_path.with_suffix(".part.npz")
        names = ("captions", "scene_of", "keypoints", "boxes", "packed_masks")
        np.savez(partial_path, **{name: getattr(scenes, name) for name in names})
        partial_path.replace(rest_path)
    with np.load(rest_path) as rest:
        return DrawnScenes(
            images=np.load(images_path, mmap_mode="r"), **{name: rest[name] for name in rest}
        )


def _collect(seeds: range, images: NDArray[np.uint8], draw: Draw) -> DrawnScenes:
    size_px = images.shape[1]
    captions: list[str] = []
    scene_of: list[int] = []
    keypoints: list[NDArray[np.float32]] = []
    boxes: list[NDArray[np.float32]] = []
    masks: list[NDArray[np.uint8]] = []
    for index, scene in enumerate(_rendered(seeds, partial(draw, size_px=size_px))):
        images[index] = scene.image
        captions.append(scene.caption)
        for person in scene.people:
            if not person.mask.any():
                continue
            scene_of.append(index)
            keypoints.append(np.asarray(person.keypoints, dtype=np.float32))
            boxes.append(np.asarray(person.bbox_xyxy_px, dtype=np.float32))
            masks.append(np.packbits(person.mask))
    people = len(scene_of)
    return DrawnScenes(
        images=images,
        captions=np.asarray(captions, dtype=np.str_),
        scene_of=np.asarray(scene_of, dtype=np.int64),
        keypoints=np.asarray(keypoints, dtype=np.float32).reshape(people, 17, 3),
        boxes=np.asarray(boxes, dtype=np.float32).reshape(people, 4),
        packed_masks=np.asarray(masks, dtype=np.uint8).reshape(people, size_px**2 // 8),
    )


def _rendered(seeds: range, draw: Callable[[int], Scene]) -> Iterator[Scene]:
    """The scenes in the order of their seeds, many of them on all cores."""
    if len(seeds) < 10 * _CHUNK:
        yield from map(draw, seeds)
        return
    with ProcessPoolExecutor() as pool:
        yield from pool.map(draw, seeds, chunksize=_CHUNK)


def renderer_digest() -> str:
    """Changes when any module of the world changes."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
