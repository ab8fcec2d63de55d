"""Colours in CIELAB and their names."""

import cv2
import numpy as np
import pytest

from hcp.evaluation.colour import NAMED_COLOURS, median_lab, nearest_colour, srgb_to_lab


def test_the_values_that_are_published_for_the_primaries() -> None:
    rgb = [[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    published = [
        [100, 0, 0], [0, 0, 0], [53.2408, 80.0925, 67.2032],
        [87.7347, -86.1827, 83.1793], [32.2970, 79.1875, -107.8602],
    ]  # fmt: skip
    np.testing.assert_allclose(srgb_to_lab(rgb), published, atol=1e-3)


def test_another_implementation_agrees() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, size=(16, 16, 3))
    theirs = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    np.testing.assert_allclose(srgb_to_lab(rgb), theirs, atol=0.6)  # theirs goes by tables


def test_a_colour_is_named_though_some_pixels_are_of_another() -> None:
    pixels = np.array([NAMED_COLOURS["red"]] * 60 + [NAMED_COLOURS["black"]] * 40)
    assert nearest_colour(median_lab(pixels)) == "red"
    with pytest.raises(ValueError, match="at least one pixel"):
        median_lab(np.zeros((0, 3)))


@pytest.mark.parametrize("name", NAMED_COLOURS)
def test_every_named_colour_has_its_own_name_in_light_and_shade(name: str) -> None:
    rgb = np.array(NAMED_COLOURS[name])
    assert nearest_colour(srgb_to_lab(rgb)) == name
    assert nearest_colour(srgb_to_lab(rgb * 0.93)) == name
