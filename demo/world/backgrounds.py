"""Backgrounds of the drawn scenes, and the places that captions name.

Every painter takes a square Pillow canvas and fills it; sizes are in shares of the canvas side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from PIL.ImageDraw import Draw, ImageDraw

from demo.world.brush import Color, capsule, ellipse, mix, shade

Painter = Callable[[Image.Image, np.random.Generator], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a scene plays."""

    name: str
    phrases: tuple[str, ...]  # how captions say it
    paint: Painter


def _vary(color: Color, rng: np.random.Generator, spread: int = 10) -> Color:
    shift = rng.integers(-spread, spread + 1, 3)
    return tuple(int(np.clip(c + s, 0, 255)) for c, s in zip(color, shift, strict=True))  # pyright: ignore[reportReturnType]


def _gradient(image: Image.Image, top: Color, bottom: Color, *, y0: float, y1: float) -> None:
    side = image.width
    a, b = round(y0 * side), round(y1 * side)
    if b <= a:
        return
    t = np.linspace(0, 1, b - a)[:, None]
    column = (np.array(top) * (1 - t) + np.array(bottom) * t).astype(np.uint8)[:, None, :]
    image.paste(Image.fromarray(np.ascontiguousarray(column)).resize((side, b - a)), (0, a))


def _box(draw: ImageDraw, side: int, shares: Sequence[float], fill: Color) -> None:
    """A rectangle x0, y0, x1, y1 in shares of the side."""
    x0, y0, x1, y1 = (share * side for share in shares)
    draw.rectangle((x0, y0, x1, y1), fill=fill)


def _clouds(draw: ImageDraw, side: int, rng: np.random.Generator, color: Color) -> None:
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0, 1) * side, rng.uniform(0.05, 0.3) * side
        r = rng.uniform(0.03, 0.06) * side
        for dx, k in ((-1.3, 0.7), (0.0, 1.0), (1.3, 0.75)):
            ellipse(draw, (x + dx * r, y), 1.4 * r * k, 0.75 * r * k, color)


def draw_tree(draw: ImageDraw, x: float, base: float, height: float, leaf: Color) -> None:
    """A broad-leaved tree standing at (x, base), canvas pixels."""
    trunk = (104, 72, 46)
    capsule(draw, (x, base), (x, base - 0.5 * height), ra=0.06 * height, rb=0.04 * height,
            fill=trunk)  # fmt: skip
    for factor, k, shift in ((0.78, 1.0, 0.0), (1.0, 0.8, -0.05), (1.14, 0.45, -0.1)):
        for dx, dy, r in ((-0.16, -0.55, 0.22), (0.16, -0.55, 0.22), (0.0, -0.76, 0.25)):
            spot = (x + (dx + shift) * height, base + (dy + shift) * height)
            ellipse(draw, spot, r * k * height, r * k * height, shade(leaf, factor))


def draw_house(draw: ImageDraw, x: float, base: float, height: float, wall: Color) -> None:
    """A gabled house whose front's middle stands at (x, base), canvas pixels."""
    w = 0.55 * height
    draw.rectangle((x - w, base - 0.6 * height, x + w, base), fill=wall)
    draw.rectangle((x + 0.7 * w, base - 0.6 * height, x + w, base), fill=shade(wall, 0.82))
    roof = [(x - 1.15 * w, base - 0.58 * height), (x + 1.15 * w, base - 0.58 * height),
            (x, base - height)]  # fmt: skip
    draw.polygon(roof, fill=(136, 62, 48))
    draw.rectangle((x - 0.14 * w, base - 0.3 * height, x + 0.16 * w, base), fill=(96, 62, 40))
    for wx in (-0.6, 0.5):
        box = (x + (wx - 0.16) * w, base - 0.45 * height, x + (wx + 0.16) * w, base - 0.27 * height)
        draw.rectangle(box, fill=(190, 222, 240))


def _beach(image: Image.Image, rng: np.random.Generator) -> None:
    horizon = float(rng.uniform(0.42, 0.55))
    shore = horizon + float(rng.uniform(0.1, 0.16))
    _gradient(image, _vary((94, 176, 236), rng), (206, 234, 248), y0=0, y1=horizon)
    _gradient(image, _vary((26, 120, 176), rng), (92, 192, 208), y0=horizon, y1=shore)
    _gradient(image, _vary((240, 220, 166), rng), (222, 190, 128), y0=shore, y1=1)
    draw, side = Draw(image), image.width
    _clouds(draw, side, rng, (250, 252, 254))
    _box(draw, side, (0, shore - 0.008, 1, shore + 0.008), (246, 250, 250))
    if rng.random() < 0.5:
        ellipse(draw, (rng.uniform(0.1, 0.9) * side, 0.12 * side), 0.06 * side, 0.06 * side,
                (255, 232, 120))  # fmt: skip


def _park(image: Image.Image, rng: np.random.Generator) -> None:
    horizon = float(rng.uniform(0.48, 0.6))
    _gradient(image, _vary((120, 188, 240), rng), (214, 236, 248), y0=0, y1=horizon)
    _gradient(image, _vary((110, 180, 76), rng), (72, 142, 54), y0=horizon, y1=1)
    draw, side = Draw(image), image.width
    _clouds(draw, side, rng, (248, 250, 252))
    for _ in range(int(rng.integers(2, 5))):
        height = rng.uniform(0.22, 0.42) * side
        base = (horizon + rng.uniform(0.0, 0.06)) * side
        draw_tree(draw, rng.uniform(0, 1) * side, base, height, _vary((58, 132, 60), rng, 16))


def _street(image: Image.Image, rng: np.random.Generator) -> None:
    horizon = float(rng.uniform(0.56, 0.64))
    _gradient(image, _vary((170, 200, 224), rng), (224, 232, 236), y0=0, y1=horizon)
    draw, side = Draw(image), image.width
    x = float(rng.uniform(-0.1, 0.0))
    walls: tuple[Color, ...] = ((196, 120, 96), (208, 186, 150), (150, 158, 170), (176, 144, 120))
    while x < 1:
        w, top = rng.uniform(0.2, 0.34), rng.uniform(0.08, 0.3)
        wall = _vary(walls[rng.integers(len(walls))], rng)
        _box(draw, side, (x, top, x + w, horizon), wall)
        for wy in np.arange(top + 0.05, horizon - 0.09, 0.11):
            for wx in np.arange(x + 0.035, x + w - 0.05, 0.085):
                pane = (226, 236, 240) if rng.random() < 0.5 else (92, 110, 128)
                _box(draw, side, (wx, wy, wx + 0.045, wy + 0.06), pane)
        x += w
    _gradient(image, (188, 186, 182), (172, 170, 168), y0=horizon, y1=horizon + 0.08)
    _gradient(image, (108, 110, 116), (86, 88, 94), y0=horizon + 0.08, y1=1)
    phase = rng.uniform(0, 0.2)
    for x in np.arange(-phase, 1, 0.22):
        _box(draw, side, (x, horizon + 0.17, x + 0.12, horizon + 0.185), (236, 232, 214))


def _room(image: Image.Image, rng: np.random.Generator) -> None:
    horizon = float(rng.uniform(0.68, 0.76))
    walls: tuple[Color, ...] = ((232, 214, 184), (206, 222, 214), (222, 208, 222), (238, 232, 220))
    wall = _vary(walls[rng.integers(len(walls))], rng)
    _gradient(image, wall, shade(wall, 0.9), y0=0, y1=horizon)
    _gradient(image, _vary((176, 124, 78), rng), (142, 96, 58), y0=horizon, y1=1)
    draw, side = Draw(image), image.width
    _box(draw, side, (0, horizon - 0.025, 1, horizon), (250, 246, 238))
    x = rng.uniform(0.04, 0.62)
    _box(draw, side, (x, 0.1, x + 0.3, 0.4), (250, 250, 246))
    _box(draw, side, (x + 0.02, 0.12, x + 0.28, 0.38), (160, 206, 238))
    _box(draw, side, (x + 0.142, 0.1, x + 0.158, 0.4), (250, 250, 246))
    if rng.random() < 0.6:
        px = 0.86 if x < 0.3 else 0.1
        _box(draw, side, (px - 0.05, 0.16, px + 0.08, 0.32), _vary((150, 90, 70), rng, 40))


def _snow(image: Image.Image, rng: np.random.Generator) -> None:
    horizon = float(rng.uniform(0.5, 0.6))
    _gradient(image, _vary((176, 196, 222), rng), (228, 234, 242), y0=0, y1=horizon)
    draw, side = Draw(image), image.width
    for _ in range(2):
        x, w, top = rng.uniform(0, 1), rng.uniform(0.25, 0.45), rng.uniform(0.12, 0.3)
        ridge = [((x - w) * side, horizon * side), (x * side, top * side),
                 ((x + w) * side, horizon * side)]  # fmt: skip
        draw.polygon(ridge, fill=_vary((150, 164, 190), rng))
        cap = [((x - 0.3 * w) * side, (top + 0.3 * (horizon - top)) * side), (x * side, top * side),
               ((x + 0.3 * w) * side, (top + 0.3 * (horizon - top)) * side)]  # fmt: skip
        draw.polygon(cap, fill=(244, 248, 252))
    _gradient(image, (246, 250, 254), (222, 232, 244), y0=horizon, y1=1)
    for _ in range(int(rng.integers(1, 4))):
        x, h = rng.uniform(0, 1) * side, rng.uniform(0.16, 0.3) * side
        base = (horizon + 0.02) * side
        for k, lift in ((1.0, 0.0), (0.75, 0.3), (0.5, 0.58)):
            fir = [(x - 0.3 * h * k, base - lift * h), (x + 0.3 * h * k, base - lift * h),
                   (x, base - lift * h - 0.5 * h)]  # fmt: skip
            draw.polygon(fir, fill=(52, 96, 78))
    for _ in range(26):
        spot = (rng.uniform(0, side), rng.uniform(0, side))
        ellipse(draw, spot, 0.006 * side, 0.006 * side, (252, 254, 255))


def _stage(image: Image.Image, rng: np.random.Generator) -> None:
    horizon = float(rng.uniform(0.7, 0.78))
    _gradient(image, (24, 16, 40), _vary((58, 30, 78), rng), y0=0, y1=horizon)
    _gradient(image, _vary((96, 62, 48), rng), (58, 36, 30), y0=horizon, y1=1)
    draw, side = Draw(image), image.width
    for x in np.arange(0.03, 1, 0.1):
        _box(draw, side, (x, 0, x + 0.035, horizon), (44, 24, 62))
    beams: tuple[Color, ...] = ((250, 220, 120), (120, 200, 250), (250, 130, 190))
    for _ in range(2):
        x, foot = rng.uniform(0.1, 0.9) * side, rng.uniform(0.2, 0.8) * side
        light = mix((60, 36, 76), beams[rng.integers(3)], 0.38)
        cone = [(x - 0.02 * side, 0), (x + 0.02 * side, 0), (foot + 0.16 * side, horizon * side),
                (foot - 0.16 * side, horizon * side)]  # fmt: skip
        draw.polygon(cone, fill=light)
        ellipse(draw, (foot, (horizon + 0.08) * side), 0.18 * side, 0.05 * side,
                mix((96, 62, 48), light, 0.6))  # fmt: skip


def _night(image: Image.Image, rng: np.random.Generator) -> None:
    horizon = float(rng.uniform(0.62, 0.7))
    _gradient(image, (10, 14, 40), (36, 44, 92), y0=0, y1=horizon)
    draw, side = Draw(image), image.width
    ellipse(draw, (rng.uniform(0.1, 0.9) * side, 0.12 * side), 0.05 * side, 0.05 * side,
            (240, 238, 214))  # fmt: skip
    x = 0.0
    while x < 1:
        w, top = rng.uniform(0.1, 0.2), rng.uniform(0.22, 0.48)
        _box(draw, side, (x, top, x + w, horizon), (26, 28, 50))
        for wy in np.arange(top + 0.03, horizon - 0.05, 0.07):
            for wx in np.arange(x + 0.02, x + w - 0.03, 0.05):
                if rng.random() < 0.5:
                    _box(draw, side, (wx, wy, wx + 0.022, wy + 0.032), (250, 210, 110))
        x += w
    _gradient(image, (52, 54, 70), (34, 36, 50), y0=horizon, y1=1)


def _sea(image: Image.Image, rng: np.random.Generator) -> None:
    horizon = float(rng.uniform(0.34, 0.48))
    _gradient(image, _vary((110, 186, 240), rng), (216, 238, 250), y0=0, y1=horizon)
    _gradient(image, _vary((28, 104, 168), rng), (30, 138, 182), y0=horizon, y1=1)
    draw, side = Draw(image), image.width
    _clouds(draw, side, rng, (250, 252, 254))
    for y in np.arange(horizon + 0.06, 1, 0.085):
        phase = rng.uniform(0, 6.28)
        xs = np.linspace(0, 1, 25)
        ys = y + 0.012 * np.sin(22 * xs + phase)
        line = [(float(a) * side, float(b) * side) for a, b in zip(xs, ys, strict=True)]
        draw.line(line, fill=(150, 210, 230), width=max(1, round(0.008 * side)))


PLACES: Mapping[str, Place] = {
    place.name: place
    for place in (
        Place(name="beach", phrases=("on a beach", "on the beach", "at the beach"), paint=_beach),
        Place(name="park", phrases=("in a park", "in the park", "on the grass"), paint=_park),
        Place(name="street", phrases=("on a street", "on the street", "in the street"),
              paint=_street),
        Place(name="room", phrases=("in a room", "indoors", "in the living room"), paint=_room),
        Place(name="snow", phrases=("in the snow", "in the snow", "on a snowy field"), paint=_snow),
        Place(name="stage", phrases=("on a stage", "on stage", "on the stage"), paint=_stage),
        Place(name="night", phrases=("in a city at night", "at night", "in the city at night"),
              paint=_night),
        Place(name="sea", phrases=("on the sea", "on a wave", "on the water"), paint=_sea),
    )
}  # fmt: skip
