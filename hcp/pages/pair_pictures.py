"""The two pictures of a pair, made ready to be compared: of one size, encoded, or scrambled."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Image8 = NDArray[np.uint8]

LOSSLESS_PX = 256  # so small a picture keeps every bit
SHAPE_TOLERANCE = 0.02  # of width to height, in which two pictures count as of one shape
BLOCKS = 4  # of a scrambled picture's side


def pair_images(pictures: tuple[Image8, Image8], *, max_px: int) -> list[Image.Image]:
    """Both as large as the smaller one: it is not their resolution that people compare.

    Pictures of different shapes get equal longer sides.
    """
    images = [Image.fromarray(picture) for picture in pictures]
    smaller = min(images, key=lambda image: max(image.size))
    longest = min(max_px, max(smaller.size))
    if shapes_differ(*pictures):
        return [_resized(image, _scaled(image, longest)) for image in images]
    return [_resized(image, _scaled(smaller, longest)) for image in images]


def shapes_differ(one: Image8, other: Image8) -> bool:
    """Whether two pictures are of other proportions, by which raters may tell models apart."""
    (height, width), (height_2, width_2) = one.shape[:2], other.shape[:2]
    return abs((width * height_2) / (height * width_2) - 1) > SHAPE_TOLERANCE


def scrambled(image: Image8, random: np.random.Generator) -> Image8:
    """The picture's blocks in another order; one too small for blocks upside down."""
    height, width = image.shape[0] // BLOCKS, image.shape[1] // BLOCKS
    if not height or not width:
        return np.ascontiguousarray(image[::-1])
    mixed = image.copy()
    places = [
        (slice(height * row, height * (row + 1)), slice(width * column, width * (column + 1)))
        for row in range(BLOCKS)
        for column in range(BLOCKS)
    ]
    for place, source in zip(places, random.permutation(BLOCKS * BLOCKS), strict=True):
        mixed[place] = image[places[source]]
    return mixed


def webp_uri(image: Image.Image, *, quality: int) -> str:
    """A data URI of the picture, without anything but its pixels; small ones keep every bit."""
    buffer = io.BytesIO()
    lossless = max(image.size) <= LOSSLESS_PX
    image.save(buffer, "WEBP", lossless=lossless, quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _scaled(image: Image.Image, longest: int) -> tuple[int, int]:
    width, height = image.size
    scale = longest / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
