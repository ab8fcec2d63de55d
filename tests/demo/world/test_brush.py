"""Shapes on a canvas, by hand."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demo.world.brush import blob, capsule, hull, limb, mix, shade


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (64, 64))
    return image, ImageDraw.Draw(image)


def _drawn(image: Image.Image) -> np.ndarray:
    return np.asarray(image).any(axis=-1)


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(0.5, (50, 100, 0)), (1.0, (100, 200, 0)), (1.5, (177, 227, 127))],
    ids=["darker", "same", "lighter"],
)
def test_shades(factor: float, expected: tuple[int, int, int]) -> None:
    assert shade((100, 200, 0), factor) == expected


def test_mix_goes_from_one_colour_to_the_other() -> None:
    a, b = (0, 100, 200), (100, 0, 200)
    assert (mix(a, b, 0), mix(a, b, 0.5), mix(a, b, 1)) == (a, (50, 50, 200), b)


def test_the_hull_of_a_square_leaves_its_inside_out() -> None:
    corners = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]
    assert sorted(hull([*corners, (2.0, 2.0), (1.0, 3.0), (0.0, 0.0)])) == sorted(corners)


def test_a_capsule_is_as_wide_as_its_radii() -> None:
    image, draw = _canvas()
    capsule(draw, (32, 12), (32, 52), ra=10, rb=4, fill=(255, 255, 255))
    widths = _drawn(image).sum(axis=1)
    assert widths[12] == pytest.approx(20, abs=2)
    assert widths[52] == pytest.approx(8, abs=2)
    assert widths[0] == widths[60] == 0


def test_limbs_are_lit_from_the_upper_left() -> None:
    image, draw = _canvas()
    limb(draw, (32, 12), (32, 52), ra=10, rb=10, color=(120, 120, 120))
    row = np.asarray(image)[32, :, 0].astype(int)
    seen = np.flatnonzero(row)
    assert row[seen[: len(seen) // 2]].mean() > row[seen[len(seen) // 2 :]].mean()


def test_a_blob_covers_its_discs() -> None:
    image, draw = _canvas()
    blob(draw, [((20.0, 20.0), 8.0), ((44.0, 44.0), 8.0)], color=(200, 60, 60))
    drawn = _drawn(image)
    assert drawn[20, 20]
    assert drawn[32, 32]
    assert drawn[44, 44]
    assert not drawn[44, 20]
