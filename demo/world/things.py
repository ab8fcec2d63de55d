"""What scenes hold besides people: animals, cars, houses, trees, balls, boats, and pose props.

Every thing stands with its base's middle at (x, base); heights and positions are canvas pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL.ImageDraw import ImageDraw

from demo.world.backgrounds import draw_house, draw_tree
from demo.world.brush import Color, capsule, ellipse, limb, shade

Drawer = Callable[[ImageDraw, float, float, float, Color], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One kind of object without people."""

    noun: str
    draw: Drawer
    colors: Mapping[str, Color]  # named in captions; one empty name for "no colour said"
    height: tuple[float, float]  # range, share of the canvas
    actions: tuple[str, ...] = ()  # what it may be said to do
    places: tuple[str, ...] = ("beach", "park", "street", "snow", "night")


def _car(draw: ImageDraw, x: float, base: float, h: float, color: Color) -> None:
    w, dark = 1.15 * h, shade(color, 0.75)
    cabin = [(x - 0.6 * w, base - 0.55 * h), (x - 0.36 * w, base - h), (x + 0.3 * w, base - h),
             (x + 0.58 * w, base - 0.55 * h)]  # fmt: skip
    draw.polygon(cabin, fill=color)
    glass = [(x - 0.48 * w, base - 0.58 * h), (x - 0.3 * w, base - 0.92 * h),
             (x + 0.25 * w, base - 0.92 * h), (x + 0.46 * w, base - 0.58 * h)]  # fmt: skip
    draw.polygon(glass, fill=(176, 212, 232))
    draw.rectangle((x - 0.04 * w, base - 0.95 * h, x + 0.02 * w, base - 0.5 * h), fill=color)
    draw.rounded_rectangle((x - w, base - 0.6 * h, x + w, base - 0.16 * h), 0.14 * h, fill=dark)
    draw.rounded_rectangle((x - w, base - 0.6 * h, x + w, base - 0.26 * h), 0.14 * h, fill=color)
    for wx in (-0.58, 0.58):
        ellipse(draw, (x + wx * w, base - 0.2 * h), 0.2 * h, 0.2 * h, (30, 30, 34))
        ellipse(draw, (x + wx * w, base - 0.2 * h), 0.1 * h, 0.1 * h, (190, 192, 196))
    ellipse(draw, (x + 0.93 * w, base - 0.44 * h), 0.05 * h, 0.06 * h, (255, 240, 170))


def _dog(draw: ImageDraw, x: float, base: float, h: float, color: Color) -> None:
    for dx, factor in ((-0.5, 0.7), (0.38, 0.7), (-0.4, 1.0), (0.48, 1.0)):
        foot = (x + dx * h, base - 0.05 * h)
        limb(draw, (x + dx * h, base - 0.4 * h), foot, ra=0.08 * h, rb=0.06 * h,
             color=shade(color, factor))  # fmt: skip
    limb(draw, (x - 0.5 * h, base - 0.52 * h), (x - 0.82 * h, base - 0.8 * h), ra=0.06 * h,
         rb=0.03 * h, color=color)  # fmt: skip
    limb(draw, (x - 0.42 * h, base - 0.48 * h), (x + 0.4 * h, base - 0.52 * h), ra=0.17 * h,
         rb=0.19 * h, color=color)  # fmt: skip
    limb(draw, (x + 0.46 * h, base - 0.6 * h), (x + 0.6 * h, base - 0.82 * h), ra=0.13 * h,
         rb=0.12 * h, color=color)  # fmt: skip
    limb(draw, (x + 0.62 * h, base - 0.82 * h), (x + 0.86 * h, base - 0.76 * h), ra=0.14 * h,
         rb=0.07 * h, color=color)  # fmt: skip
    capsule(draw, (x + 0.52 * h, base - 0.9 * h), (x + 0.46 * h, base - 0.68 * h), ra=0.06 * h,
            rb=0.05 * h, fill=shade(color, 0.6))  # fmt: skip
    ellipse(draw, (x + 0.93 * h, base - 0.78 * h), 0.04 * h, 0.04 * h, (24, 20, 20))
    ellipse(draw, (x + 0.7 * h, base - 0.87 * h), 0.025 * h, 0.03 * h, (24, 20, 20))


def _cat(draw: ImageDraw, x: float, base: float, h: float, color: Color) -> None:
    limb(draw, (x + 0.28 * h, base - 0.12 * h), (x + 0.52 * h, base - 0.5 * h), ra=0.06 * h,
         rb=0.04 * h, color=color)  # fmt: skip
    limb(draw, (x, base - 0.22 * h), (x, base - 0.5 * h), ra=0.24 * h, rb=0.16 * h, color=color)
    for dx in (-0.1, 0.1):
        limb(draw, (x + dx * h, base - 0.36 * h), (x + dx * h, base - 0.05 * h), ra=0.06 * h,
             rb=0.055 * h, color=color)  # fmt: skip
    for dx in (-1, 1):
        ear = [(x + dx * 0.19 * h, base - 0.78 * h), (x + dx * 0.17 * h, base - h),
               (x + dx * 0.03 * h, base - 0.88 * h)]  # fmt: skip
        draw.polygon(ear, fill=shade(color, 0.8))
    limb(draw, (x - 0.03 * h, base - 0.74 * h), (x + 0.03 * h, base - 0.74 * h), ra=0.18 * h,
         rb=0.18 * h, color=color)  # fmt: skip
    for dx in (-0.08, 0.08):
        ellipse(draw, (x + dx * h, base - 0.77 * h), 0.035 * h, 0.04 * h, (190, 220, 90))
        ellipse(draw, (x + dx * h, base - 0.77 * h), 0.014 * h, 0.036 * h, (20, 20, 20))
    ellipse(draw, (x, base - 0.68 * h), 0.025 * h, 0.018 * h, (220, 130, 140))


def _bird(draw: ImageDraw, x: float, base: float, h: float, color: Color) -> None:
    for dx in (-0.05, 0.08):
        leg = ((x + dx * h, base - 0.25 * h), (x + dx * h, base))
        draw.line(leg, fill=(220, 140, 40), width=max(1, round(0.035 * h)))
    tail = [(x - 0.3 * h, base - 0.5 * h), (x - 0.85 * h, base - 0.42 * h),
            (x - 0.3 * h, base - 0.34 * h)]  # fmt: skip
    draw.polygon(tail, fill=shade(color, 0.7))
    limb(draw, (x - 0.15 * h, base - 0.42 * h), (x + 0.12 * h, base - 0.5 * h), ra=0.22 * h,
         rb=0.24 * h, color=color)  # fmt: skip
    limb(draw, (x + 0.24 * h, base - 0.76 * h), (x + 0.26 * h, base - 0.78 * h), ra=0.18 * h,
         rb=0.18 * h, color=color)  # fmt: skip
    wing = ((x + 0.02 * h, base - 0.5 * h), (x - 0.36 * h, base - 0.44 * h))
    capsule(draw, *wing, ra=0.15 * h, rb=0.05 * h, fill=shade(color, 0.66))
    beak = [(x + 0.4 * h, base - 0.84 * h), (x + 0.62 * h, base - 0.76 * h),
            (x + 0.4 * h, base - 0.7 * h)]  # fmt: skip
    draw.polygon(beak, fill=(240, 160, 40))
    ellipse(draw, (x + 0.3 * h, base - 0.82 * h), 0.035 * h, 0.035 * h, (20, 20, 20))


def _ball(draw: ImageDraw, x: float, base: float, h: float, color: Color) -> None:
    r = 0.5 * h
    ellipse(draw, (x, base - r), r, r, shade(color, 0.7))
    ellipse(draw, (x - 0.06 * h, base - 1.06 * r), 0.86 * r, 0.86 * r, color)
    ellipse(draw, (x - 0.16 * h, base - 1.32 * r), 0.3 * r, 0.3 * r, shade(color, 1.4))


def _boat(draw: ImageDraw, x: float, base: float, h: float, color: Color) -> None:
    draw.rectangle((x - 0.02 * h, base - h, x + 0.02 * h, base - 0.2 * h), fill=(110, 80, 54))
    draw.polygon([(x + 0.05 * h, base - 0.96 * h), (x + 0.05 * h, base - 0.3 * h),
                  (x + 0.5 * h, base - 0.3 * h)], fill=(250, 248, 240))  # fmt: skip
    draw.polygon([(x - 0.05 * h, base - 0.86 * h), (x - 0.05 * h, base - 0.3 * h),
                  (x - 0.38 * h, base - 0.3 * h)], fill=(232, 230, 224))  # fmt: skip
    hull = [(x - 0.6 * h, base - 0.24 * h), (x + 0.64 * h, base - 0.24 * h),
            (x + 0.42 * h, base), (x - 0.44 * h, base)]  # fmt: skip
    draw.polygon(hull, fill=color)


def draw_bench(draw: ImageDraw, x: float, seat: float, *, base: float, unit: float) -> None:
    """A bench with its seat's height at ``seat``, for the pose "sitting"."""
    wood = (150, 98, 56)
    for dx in (-0.2, 0.2):
        post = (x + (dx - 0.015) * unit, seat, x + (dx + 0.015) * unit, base)
        draw.rectangle(post, fill=shade(wood, 0.7))
    draw.rectangle((x - 0.27 * unit, seat, x + 0.27 * unit, seat + 0.045 * unit), fill=wood)


def draw_board(draw: ImageDraw, x: float, y: float, *, unit: float, color: Color) -> None:
    """A surfboard under the feet, with foam."""
    for dx, r in ((-0.42, 0.06), (-0.3, 0.08), (0.36, 0.06), (0.46, 0.04)):
        ellipse(draw, (x + dx * unit, y + 0.06 * unit), r * unit, 0.5 * r * unit, (236, 246, 250))
    ellipse(draw, (x, y + 0.035 * unit), 0.46 * unit, 0.046 * unit, shade(color, 0.7))
    ellipse(draw, (x, y + 0.022 * unit), 0.45 * unit, 0.038 * unit, color)


def draw_umbrella(draw: ImageDraw, hand: tuple[float, float], *, unit: float, color: Color) -> None:
    """An open umbrella held at ``hand``, its canopy above."""
    x, y = hand
    top = y - 0.34 * unit
    draw.line(((x, y + 0.05 * unit), (x, top)), fill=(80, 60, 50), width=max(2, round(0.02 * unit)))
    box = (x - 0.3 * unit, top - 0.16 * unit, x + 0.3 * unit, top + 0.2 * unit)
    draw.pieslice(box, 180, 360, fill=shade(color, 0.85))
    inner = (x - 0.14 * unit, top - 0.16 * unit, x + 0.14 * unit, top + 0.2 * unit)
    draw.pieslice(inner, 180, 360, fill=color)


_PAINT: Mapping[str, Color] = {
    "red": (210, 44, 44), "blue": (44, 88, 204), "green": (44, 150, 70), "yellow": (244, 206, 54),
    "orange": (238, 130, 40), "purple": (130, 60, 170), "white": (238, 238, 236),
    "black": (44, 44, 50),
}  # fmt: skip
_FUR: Mapping[str, Color] = {
    "brown": (140, 92, 54), "white": (236, 232, 224), "black": (52, 48, 50),
    "grey": (150, 150, 154), "orange": (226, 142, 66),
}  # fmt: skip

THINGS: Mapping[str, Thing] = {
    thing.noun: thing
    for thing in (
        Thing(noun="car", draw=_car, colors=_PAINT, height=(0.28, 0.4), actions=("parked", ""),
              places=("street", "night", "park", "snow", "beach")),
        Thing(noun="dog", draw=_dog, colors=_FUR, height=(0.32, 0.5),
              actions=("standing", "", "running"),
              places=("beach", "park", "street", "snow", "room")),
        Thing(noun="cat", draw=_cat, colors=_FUR, height=(0.4, 0.6), actions=("sitting", ""),
              places=("park", "street", "room", "snow", "night")),
        Thing(noun="bird", draw=_bird, colors=_PAINT, height=(0.3, 0.5), actions=("standing", ""),
              places=("beach", "park", "snow", "street")),
        Thing(noun="ball", draw=_ball, colors=_PAINT, height=(0.2, 0.36), actions=("lying", ""),
              places=("beach", "park", "street", "room", "snow", "stage")),
        Thing(noun="house", draw=draw_house, colors=_PAINT, height=(0.5, 0.72),
              places=("park", "snow", "night", "beach")),
        Thing(noun="tree", draw=draw_tree,
              colors={"": (66, 140, 62), "green": (60, 146, 58), "orange": (226, 130, 44)},
              height=(0.55, 0.8), places=("park", "snow", "street", "beach")),
        Thing(noun="boat", draw=_boat, colors=_PAINT, height=(0.45, 0.65), actions=("sailing", ""),
              places=("sea",)),
    )
}  # fmt: skip
