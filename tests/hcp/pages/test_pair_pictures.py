"""Two pictures of a pair: of one size, nothing but pixels, and scrambled ones that are none."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from hcp.pages.pair_pictures import pair_images, scrambled, shapes_differ, webp_uri


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("sizes", "max_px", "expected"),
    [
        (((64, 64), (64, 64)), 768, [(64, 64), (64, 64)]),
        (((64, 64), (128, 128)), 768, [(64, 64), (64, 64)]),
        (((100, 201), (50, 100)), 768, [(100, 50), (100, 50)]),
        (((1000, 500), (1000, 500)), 100, [(50, 100), (50, 100)]),
        (((64, 64), (64, 128)), 768, [(64, 64), (64, 32)]),
        (((1, 900), (1, 900)), 100, [(100, 1), (100, 1)]),
    ],
)
def test_both_are_as_large_as_the_smaller_one(
    sizes: tuple[tuple[int, int], tuple[int, int]], max_px: int, expected: list[tuple[int, int]]
) -> None:
    one, other = (noise(*size) for size in sizes)
    assert [image.size for image in pair_images((one, other), max_px=max_px)] == expected
    assert shapes_differ(one, other) == (expected[0] != expected[1])


def test_small_pictures_keep_every_bit_and_larger_ones_are_smaller() -> None:
    small, large = noise(64, 64), noise(300, 300)
    for picture, same in ((small, True), (large, False)):
        uri = webp_uri(Image.fromarray(picture), quality=80)
        data = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
        decoded = Image.open(io.BytesIO(data))
        assert np.array_equal(np.asarray(decoded), picture) == same
        assert not decoded.getexif()
        assert same or len(data) < picture.nbytes


def test_a_scrambled_picture_has_the_same_pixels_elsewhere() -> None:
    picture = noise(64, 66)
    mixed = scrambled(picture, np.random.default_rng(0))
    assert mixed.shape == picture.shape
    assert not np.array_equal(mixed, picture)
    assert np.array_equal(np.sort(mixed, axis=None), np.sort(picture, axis=None))
    tiny = noise(2, 2)
    assert np.array_equal(scrambled(tiny, np.random.default_rng(0)), tiny[::-1])
