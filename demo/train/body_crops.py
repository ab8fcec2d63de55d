"""Drawn bodies, sound and faulty, as arrays on disk: what the body judge is trained on.

The judge is to see bodies, not the renderer: half of the pictures of both kinds went through the
embedded autoencoder, as every picture of the embedded base does.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from demo.train.sd import SIZE_PX, to_tensor
from demo.world.faults import render_faulty
from demo.world.scene_store import renderer_digest
from demo.world.scenes import Scene, render_scene
from hcp.evaluation.bodies import body_crop
from storage.records import Box

WINDOW_PX, WINDOW = 160, 1.6
"""Side of what is kept of a picture, in px and in longer sides of the person's box."""
MAP_PX = 40
"""Side of the map of what a fault changed, over the same window."""
UNASKED = "wrong_pose"
"""A body in another pose than the caption's is a sound one."""
ODDS: Mapping[str, float] = {
    UNASKED: 0.07, "extra_arm": 0.2, "missing_leg": 0.2, "long_limb": 0.15, "fused": 0.1,
    "smeared_face": 0.11, "head_turned": 0.11, "cut_body": 0.06,
}  # fmt: skip
"""Shares of the pairs, before those whose fault hardly shows are left out."""
MIN_CHANGED = 0.02
"""Of the body's pixels: a fault that changes fewer hardly shows."""
PASSED = 0.5
"""Share of the pairs that go through the autoencoder."""
MIN_SIDE_PX = 24
_CHUNK = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyCrops:
    """Windows about N bodies, each drawn intact and with a fault."""

    intact: NDArray[np.uint8]  # [N, WINDOW_PX, WINDOW_PX, 3]
    faulty: NDArray[np.uint8]
    maps: NDArray[np.uint8]  # [N, MAP_PX, MAP_PX], 255 where the fault changed everything
    kinds: NDArray[np.str_]  # [N], names of faults


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyPair:
    """One of a scene's people, intact and with a fault."""

    kind: str
    images: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    boxes: tuple[Box, Box]
    changed: NDArray[np.bool_]  # [H, W]


def draw_body(seed: int) -> BodyPair | None:
    """The pair of this seed; None where its fault, or the body itself, hardly shows."""
    rng = np.random.default_rng([20261128, seed])
    names = tuple(ODDS)
    kind = names[int(rng.choice(len(names), p=np.array(list(ODDS.values()))))]
    people = int(rng.choice([1, 2, 3], p=[0.75, 0.17, 0.08]))
    intact = render_scene(seed, size_px=SIZE_PX, people=people)
    faulty = render_faulty(seed, kind, size_px=SIZE_PX, people=people)
    person = int(str(faulty.attributes["faulty"]))
    boxes = intact.people[person].bbox_xyxy_px, faulty.people[person].bbox_xyxy_px
    sides = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes]
    if changed_share(intact, faulty, person) < MIN_CHANGED or min(sides) < MIN_SIDE_PX:
        return None
    return BodyPair(
        kind=kind,
        images=(intact.image, faulty.image),
        boxes=boxes,
        changed=changed_pixels(intact, faulty),
    )


def changed_pixels(intact: Scene, faulty: Scene) -> NDArray[np.bool_]:
    """Where two drawings of a scene differ visibly, [H, W]."""
    difference = np.abs(intact.image.astype(np.int16) - faulty.image.astype(np.int16))
    return difference.max(axis=-1) > 16


def changed_share(intact: Scene, faulty: Scene, person: int) -> float:
    """How many pixels a fault changes, as a share of the person's own."""
    own = max(1, int(intact.people[person].mask.sum()))
    return float(changed_pixels(intact, faulty).sum()) / own


def stored_crops(seeds: range, *, folder: Path, vae: Path) -> BodyCrops:
    """The windows about the bodies of these seeds, drawn once per renderer and autoencoder."""
    digest = hashlib.sha256((vae / "diffusion_pytorch_model.safetensors").read_bytes())
    digest.update(Path(__file__).read_bytes())
    stem = f"bodies-{seeds.start}-{len(seeds)}-{renderer_digest()}-{digest.hexdigest()[:12]}"
    path = folder / f"{stem}.npz"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        passed = RoundTrip(vae)
        starts = range(0, len(seeds), _CHUNK)
        chunks = [_windows(seeds[start : start + _CHUNK], passed) for start in starts]
        partial = path.with_suffix(".part.npz")
        arrays: dict[str, Any] = {n: np.concatenate([c[n] for c in chunks]) for n in chunks[0]}
        np.savez(partial, **arrays)
        partial.replace(path)
    with np.load(path) as kept:
        return BodyCrops(**{name: kept[name] for name in kept})


def _windows(seeds: range, passed: "RoundTrip") -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng([20261129, seeds.start])
    pairs = [pair for pair in map(draw_body, seeds) if pair is not None]
    chosen = [i for i in range(len(pairs)) if rng.random() < PASSED]
    trip = passed([image for i in chosen for image in pairs[i].images])
    images = {i: (trip[2 * k], trip[2 * k + 1]) for k, i in enumerate(chosen)}

    def windows(which: int) -> NDArray[np.uint8]:
        found = [
            body_crop(
                images.get(i, pair.images)[which], pair.boxes[which],
                size_px=WINDOW_PX, padding=WINDOW,
            )
            for i, pair in enumerate(pairs)
        ]  # fmt: skip
        return np.stack(found)

    return {
        "intact": windows(0),
        "faulty": windows(1),
        "maps": np.stack([_map(pair) for pair in pairs]),
        "kinds": np.array([pair.kind for pair in pairs]),
    }


def _map(pair: BodyPair) -> NDArray[np.uint8]:
    shown = np.repeat(pair.changed[..., None].astype(np.uint8) * 255, 3, axis=-1)
    black = (0, 0, 0)
    crop = body_crop(shown, pair.boxes[1], size_px=MAP_PX, padding=WINDOW, fill=black)
    window = np.ascontiguousarray(crop[..., 0])
    return window if pair.kind != UNASKED else np.zeros_like(window)


class RoundTrip:
    """Pictures through the autoencoder and back: as good as its base can draw."""

    def __init__(self, folder: Path) -> None:
        vae: Any = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32)
        self._vae = vae.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Pictures of one size, HWC uint8, in and out."""
        found: list[NDArray[np.uint8]] = []
        for start in range(0, len(images), 16):
            batch = to_tensor(np.stack(images[start : start + 16]))
            latents = self._vae.encode(batch).latent_dist.mode()
            pixels = (self._vae.decode(latents).sample.clamp(-1, 1) + 1) * 127.5
            found += list(pixels.round().byte().permute(0, 2, 3, 1).numpy())
        return found
