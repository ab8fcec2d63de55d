"""Things stand where they are put, in the colour that the caption names."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from demo.world.backgrounds import PLACES
from demo.world.things import THINGS, draw_bench, draw_board, draw_umbrella


def _drawn(noun: str, color: tuple[int, int, int]) -> np.ndarray:
    image = Image.new("RGB", (200, 200))
    THINGS[noun].draw(ImageDraw.Draw(image), 100, 160, 80, color)
    return np.asarray(image)


@pytest.mark.parametrize("noun", THINGS)
def test_a_thing_stands_on_its_base_at_its_height(noun: str) -> None:
    rows, columns = np.nonzero(_drawn(noun, (200, 60, 60)).any(axis=-1))
    assert rows.max() == pytest.approx(160, abs=6)
    assert rows.max() - rows.min() == pytest.approx(80, abs=12)
    assert 60 < columns.mean() < 140


@pytest.mark.parametrize("noun", [n for n in THINGS if n != "tree"])
def test_its_colour_is_most_of_what_is_coloured(noun: str) -> None:
    picture = _drawn(noun, (210, 44, 44)).astype(int)
    reddish = picture[..., 0] > picture[..., 1:].max(axis=-1) + 40
    assert reddish.sum() > 0.3 * picture.any(axis=-1).sum()


def test_things_are_where_captions_may_put_them() -> None:
    for thing in THINGS.values():
        assert set(thing.places) <= set(PLACES)
        assert 0 < thing.height[0] < thing.height[1] <= 1


def test_props_meet_the_body() -> None:
    image = Image.new("RGB", (200, 200))
    draw = ImageDraw.Draw(image)
    draw_bench(draw, 100, 120, base=160, unit=100)
    seat = np.asarray(image).any(axis=-1)
    assert seat[121:124, 80:120].all()
    assert not seat[:118].any()
    image.paste((0, 0, 0), (0, 0, 200, 200))
    draw_umbrella(draw, (100, 150), unit=100, color=(200, 40, 40))
    rows = np.flatnonzero(np.asarray(image).any(axis=(1, 2)))
    assert rows.max() == pytest.approx(155, abs=2)
    assert rows.min() < 110
    image.paste((0, 0, 0), (0, 0, 200, 200))
    draw_board(draw, 100, 100, unit=100, color=(40, 40, 200))
    assert np.asarray(image).any(axis=-1)[101:104, 70:130].all()
