"""Drawn scenes as arrays, rendered once and kept on disk: what the small models are trained on.

Training and held-out scenes come from seed ranges that do not meet, so that a figure on held-out
scenes is about people whom no model has seen.
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo.world.scenes import render_scene

SIZE_PX = 256
TRAIN_FIRST_SEED = 1_000_000
HELD_OUT_FIRST_SEED = 2_000_000

DRAWING_MODULES = (
    "backgrounds", "brush", "captions", "figures", "heads", "looks", "poses", "scenes", "skeleton",
    "things",
)  # fmt: skip
"""What ``render_scene`` is made of: a change of any makes stored scenes stale."""

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

    images: NDArray[np.uint8]  # [N, 256, 256, 3] RGB, possibly a memory map
    scene_of: NDArray[np.int64]  # [M], the scene of each person
    keypoints: NDArray[np.float32]  # [M, 17, 3] x_px, y_px, COCO visibility
    boxes: NDArray[np.float32]  # [M, 4] xyxy_px of the visible pixels
    packed_masks: NDArray[np.uint8]  # [M, 256 * 256 / 8] bits of the visible masks

    def people_of(self, scene: int) -> range:
        """The rows of one scene's people."""
        first, last = np.searchsorted(self.scene_of, (scene, scene + 1))
        return range(int(first), int(last))

    def mask(self, person: int) -> NDArray[np.bool_]:
        """The visible pixels of one person, [256, 256]."""
        bits = np.unpackbits(self.packed_masks[person])
        return bits.reshape(SIZE_PX, SIZE_PX).astype(bool)


def draw_scenes(seeds: range) -> DrawnScenes:
    """Render the scenes of these seeds in memory; people without a visible pixel are left out."""
    return _collect(seeds, np.empty((len(seeds), SIZE_PX, SIZE_PX, 3), dtype=np.uint8))


def stored_scenes(seeds: range, *, folder: Path) -> DrawnScenes:
    """The same as ``draw_scenes``, rendered once per version of the renderer, images on disk."""
    stem = f"scenes-{seeds.start}-{len(seeds)}-{_renderer_digest()}"
    images_path, people_path = folder / f"{stem}.npy", folder / f"{stem}.npz"
    if not people_path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _log.info("drawing %d scenes into %s", len(seeds), folder)
        shape = (len(seeds), SIZE_PX, SIZE_PX, 3)
        images = np.lib.format.open_memmap(images_path, mode="w+", dtype=np.uint8, shape=shape)
        scenes = _collect(seeds, images)
        images.flush()
        partial = people_path.with_suffix(".part.npz")
        np.savez(
            partial,
            scene_of=scenes.scene_of,
            keypoints=scenes.keypoints,
            boxes=scenes.boxes,
            packed_masks=scenes.packed_masks,
        )
        partial.replace(people_path)
    with np.load(people_path) as people:
        return DrawnScenes(
            images=np.load(images_path, mmap_mode="r"), **{name: people[name] for name in people}
        )


def _collect(seeds: range, images: NDArray[np.uint8]) -> DrawnScenes:
    scene_of: list[int] = []
    keypoints: list[NDArray[np.float32]] = []
    boxes: list[NDArray[np.float32]] = []
    masks: list[NDArray[np.uint8]] = []
    for index, seed in enumerate(seeds):
        scene = render_scene(seed, size_px=SIZE_PX)
        images[index] = scene.image
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
        scene_of=np.asarray(scene_of, dtype=np.int64),
        keypoints=np.asarray(keypoints, dtype=np.float32).reshape(people, 17, 3),
        boxes=np.asarray(boxes, dtype=np.float32).reshape(people, 4),
        packed_masks=np.asarray(masks, dtype=np.uint8).reshape(people, SIZE_PX * SIZE_PX // 8),
    )


def _renderer_digest() -> str:
    """Changes when any module that draws changes."""
    digest = hashlib.sha256()
    for name in DRAWING_MODULES:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:12]
