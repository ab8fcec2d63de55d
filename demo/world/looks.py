"""What drawn people look like: kind, build, skin, hair and clothes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from demo.world.brush import Color
from demo.world.poses import Pose

Kind = Literal["man", "woman", "boy", "girl"]
Bottom = Literal["trousers", "shorts", "skirt", "dress"]
KINDS: tuple[Kind, ...] = ("man", "woman", "boy", "girl")

CLOTHES: Mapping[str, Color] = {
    "red": (214, 40, 44),
    "blue": (38, 84, 206),
    "green": (40, 154, 66),
    "yellow": (246, 208, 48),
    "orange": (242, 128, 30),
    "purple": (132, 56, 170),
    "pink": (244, 128, 176),
    "white": (240, 240, 238),
    "black": (40, 40, 46),
}
SKINS: tuple[Color, ...] = (
    (255, 224, 200), (246, 208, 177), (236, 188, 154), (224, 172, 132), (208, 152, 110),
    (188, 128, 88), (160, 104, 70), (132, 84, 56), (104, 64, 44), (78, 48, 34),
)  # fmt: skip
"""Ten tones from light to dark."""
HAIRS: Mapping[str, Color] = {
    "black": (34, 28, 28),
    "brown": (100, 62, 34),
    "blond": (226, 186, 96),
    "red": (168, 72, 32),
    "grey": (160, 160, 164),
}
STYLES: Mapping[Kind, tuple[str, ...]] = {
    "man": ("short", "short", "curly", "bald"),
    "boy": ("short", "curly"),
    "woman": ("long", "bun", "ponytail", "curly"),
    "girl": ("long", "ponytail", "bun"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a person is built like and wears."""

    kind: Kind
    skin: int  # index into SKINS
    hair: str
    style: str
    top: str  # colour name; of the dress too
    bottom: Bottom
    bottom_color: str
    long_sleeves: bool
    stature: float  # body height against an average adult's
    width: float  # thickness of limbs and torso, 1 = average
    head: float  # head size, 1 = adult


def random_look(rng: np.random.Generator, *, pose: Pose, kind: Kind | None = None) -> Look:
    """A look drawn at random that suits the pose."""
    kind = kind or KINDS[rng.choice(4, p=[0.36, 0.36, 0.14, 0.14])]
    female, child = kind in ("woman", "girl"), kind in ("boy", "girl")
    bottoms: tuple[Bottom, ...] = ("trousers", "trousers", "shorts")
    if female:
        bottoms = ("trousers", "skirt", "dress", "dress") if pose.skirt else ("trousers", "shorts")
    names = tuple(CLOTHES)
    top = names[rng.integers(len(names))]
    lower = [n for n in ("blue", "black", "white", "red", "green", "purple") if n != top]
    styles = STYLES[kind]
    hairs = tuple(HAIRS)[: 4 if child else 5]
    odds = [0.35, 0.28, 0.2, 0.09, 0.08][: len(hairs)]
    return Look(
        kind=kind,
        skin=int(rng.integers(len(SKINS))),
        hair=hairs[rng.choice(len(hairs), p=[odd / sum(odds) for odd in odds])],
        style=styles[rng.integers(len(styles))],
        top=top,
        bottom=bottoms[rng.integers(len(bottoms))],
        bottom_color=lower[rng.integers(len(lower))],
        long_sleeves=bool(rng.random() < 0.4),
        stature=float(rng.uniform(0.68, 0.8) if child else rng.uniform(0.9, 1.05)),
        width=float(np.clip(rng.lognormal(0.02, 0.17), 0.78, 1.5)),
        head=1.22 if child else 1.0,
    )
