"""Photos with what was found in them drawn on: masks, boxes and skeletons."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hcp.pose_image import draw_skeleton
from storage.records import Person, Sample

Colour = tuple[int, int, int]

_TINTS: tuple[Colour, ...] = (
    (230, 60, 60), (60, 160, 230), (80, 200, 90), (240, 190, 50), (170, 90, 220),
    (240, 130, 40), (60, 210, 200), (230, 100, 180),
)  # fmt: skip
_TINT_OPACITY = 0.4


def draw_people(image: NDArray[np.uint8], sample: Sample) -> NDArray[np.uint8]:
    """The photo with tinted masks, boxes and skeletons; a copy, HWC uint8 RGB.

    People below the gate get a thin grey box.

    Raises:
        ValueError: image and sample differ in size.
    """
    if image.shape != (sample.height_px, sample.width_px, 3):
        expected = (sample.height_px, sample.width_px, 3)
        raise ValueError(f"image of sample {sample.key} must be {expected}, got {image.shape}")
    blended = image.astype(np.float32)
    for number in range(1, len(sample.people) + 1):
        tint = np.array(_TINTS[(number - 1) % len(_TINTS)], dtype=np.float32)
        inside = sample.mask == number
        blended[inside] = (1 - _TINT_OPACITY) * blended[inside] + _TINT_OPACITY * tint
    canvas = Image.fromarray(np.rint(blended).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    line_px = max(2, round(min(image.shape[:2]) / 160))
    for number, person in enumerate(sample.people):
        _draw_box(draw, person, colour=_TINTS[number % len(_TINTS)], line_px=line_px)
        if person.passes_gate:
            draw_skeleton(draw, person.keypoints, line_px=line_px)
    return np.array(canvas, dtype=np.uint8)


def decode_image(sample: Sample) -> NDArray[np.uint8]:
    """The sample's photo, HWC uint8 RGB."""
    with Image.open(io.BytesIO(sample.image_jpeg), formats=("JPEG",)) as image:
        return np.array(image.convert("RGB"), dtype=np.uint8)


def _draw_box(draw: ImageDraw.ImageDraw, person: Person, *, colour: Colour, line_px: int) -> None:
    left, top, right, bottom = person.bbox_xyxy_px
    box = [min(left, right), min(top, bottom), max(left, right), max(top, bottom)]
    if person.passes_gate:
        draw.rectangle(box, outline=colour, width=line_px)
    else:
        draw.rectangle(box, outline=(150, 150, 150), width=1)
