"""Every place paints its whole canvas, and looks like no other."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demo.world.backgrounds import PLACES, draw_house, draw_tree

NOTHING = (1, 2, 3)


def _painted(name: str, seed: int = 0, side: int = 96) -> np.ndarray:
    image = Image.new("RGB", (side, side), NOTHING)
    PLACES[name].paint(image, np.random.default_rng(seed))
    return np.asarray(image)


@pytest.mark.parametrize("name", PLACES)
def test_a_place_fills_its_canvas_and_varies_by_seed(name: str) -> None:
    picture = _painted(name)
    assert not (picture == NOTHING).all(axis=-1).any()
    assert np.array_equal(picture, _painted(name))
    assert not np.array_equal(picture, _painted(name, seed=1))


def test_places_differ_in_colour() -> None:
    means = {name: _painted(name).mean(axis=(0, 1)) for name in PLACES}
    names = list(means)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            assert np.abs(means[first] - means[second]).max() > 4, (first, second)


@pytest.mark.parametrize("draw_it", [draw_tree, draw_house])
def test_trees_and_houses_stand_on_their_base(draw_it: object) -> None:
    image = Image.new("RGB", (100, 100))
    draw_it(ImageDraw.Draw(image), 50, 90, 60, (60, 140, 60))  # pyright: ignore[reportCallIssue]
    rows = np.flatnonzero(np.asarray(image).any(axis=(1, 2)))
    assert rows.max() == pytest.approx(90, abs=5)
    assert rows.max() - rows.min() == pytest.approx(60, abs=8)
