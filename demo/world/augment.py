"""Chance in the training of the small models: crop, mirror, and soft or noisy pictures.

Images are HWC uint8 RGB. The later user of the pose model scores pictures of a tiny diffusion
model, blown up and soft: without blur, noise and JPEG in training its confidence means nothing
there.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class View:
    """A square window of the picture, in its pixels, resized to ``size_px``, maybe mirrored."""

    left_px: float
    top_px: float
    side_px: float
    size_px: int
    mirror: bool

    def apply(self, image: Pixels) -> Pixels:
        """The window's pixels, [size_px, size_px, 3] or [size_px, size_px] for a flat picture."""
        x, y, side, size = self.left_px, self.top_px, self.side_px, (self.size_px, self.size_px)
        picture = Image.fromarray(image)
        box = (x, y, x + side, y + side)
        pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, box=box))
        return np.ascontiguousarray(pixels[:, ::-1] if self.mirror else pixels)

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points [..., 2] of the picture in pixels of the view."""
        moved = (points - (self.left_px, self.top_px)) * (self.size_px / self.side_px)
        if self.mirror:
            moved[..., 0] = self.size_px - moved[..., 0]
        return moved.astype(np.float32)


def random_view(
    rng: np.random.Generator, picture_px: int, *, size_px: int, smallest: float = 0.6
) -> View:
    """Half the time the whole picture, else a window of ``smallest`` to 1 of its side."""
    share = 1.0 if rng.random() < 0.5 else rng.uniform(smallest, 1.0)
    side = share * picture_px
    left, top = rng.uniform(0.0, picture_px - side, size=2)
    return View(float(left), float(top), float(side), size_px, bool(rng.random() < 0.5))


def degrade(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Soften, compress or add noise to a picture, as often as not nothing at all."""
    picture = Image.fromarray(image)
    side = picture.width
    if rng.random() < 0.35:
        small = max(8, round(side * rng.uniform(0.35, 0.75)))
        kind = Image.Resampling.BILINEAR if rng.random() < 0.5 else Image.Resampling.BICUBIC
        picture = picture.resize((small, small), Image.Resampling.BOX).resize((side, side), kind)
    elif rng.random() < 0.2:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.6) * side / 256))
    if rng.random() < 0.2:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=int(rng.integers(25, 90)))
        picture = Image.open(buffer).convert("RGB")
    pixels = np.asarray(picture).astype(np.float32)
    if rng.random() < 0.25:
        pixels += rng.normal(0.0, rng.uniform(2.0, 14.0), size=pixels.shape).astype(np.float32)
    if rng.random() < 0.5:
        gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, size=3)
        pixels = pixels * gain.astype(np.float32) + np.float32(rng.uniform(-18.0, 18.0))
    return np.clip(pixels, 0.0, 255.0).astype(np.uint8)
