"""Colours as people see them: sRGB to CIELAB, and the nearest of some named colours.

Dimension legend: ... any leading axes, N colours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hcp.tokens.clothing import colour_names

Rgb = tuple[int, int, int]  # sRGB, 0 to 255

NAMED_COLOURS: Mapping[str, Rgb] = {
    "red": (200, 35, 40),
    "orange": (240, 125, 30),
    "yellow": (240, 205, 50),
    "green": (45, 140, 65),
    "blue": (40, 85, 190),
    "purple": (125, 55, 160),
    "pink": (242, 135, 175),
    "brown": (115, 72, 42),
    "beige": (220, 200, 160),
    "grey": (130, 130, 132),
    "white": (238, 238, 236),
    "black": (35, 35, 40),
}
"""Ours: an ordinary cloth of each colour in daylight. The eleven basic colour terms of Berlin and
Kay (1969), and beige. For real pictures an approximation: light and folds shift a colour."""

# Linear sRGB to XYZ, D65 (IEC 61966-2-1), and that white.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = _TO_XYZ.sum(axis=1)


def srgb_to_lab(rgb: ArrayLike) -> NDArray[np.float64]:
    """CIELAB under D65 of sRGB colours.

    Args:
        rgb: [..., 3] in 0 to 255.
    Returns:
        [..., 3]: L* in 0 to 100, a* and b*.
    """
    share = np.asarray(rgb, dtype=np.float64) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T / _WHITE
    delta = 6 / 29  # CIE 15: below its cube the root is a line
    f = np.where(xyz > delta**3, np.cbrt(xyz), xyz / (3 * delta**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def median_lab(pixels: ArrayLike) -> NDArray[np.float64]:
    """The median of sRGB pixels [N, 3] in CIELAB, each axis alone: outliers do not move it.

    Raises:
        ValueError: there is no pixel.
    """
    lab = srgb_to_lab(pixels).reshape(-1, 3)
    if not len(lab):
        raise ValueError("median_lab needs at least one pixel, got none")
    return np.median(lab, axis=0)


def nearest_colour(lab: ArrayLike, palette: Mapping[str, Rgb] = NAMED_COLOURS) -> str:
    """The name of the palette's colour nearest to a CIELAB colour [3] (CIE 1976 difference)."""
    names = list(palette)
    distances = np.linalg.norm(srgb_to_lab([palette[n] for n in names]) - np.asarray(lab), axis=-1)
    return names[int(distances.argmin())]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClothingConfig:
    """By which colours clothes in pictures are told."""

    palette: Mapping[str, Rgb] = field(default_factory=lambda: dict(NAMED_COLOURS))
    """Name -> sRGB; the default suits real pictures roughly, a world's own palette is exact."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.palette) - set(colour_names())):
            raise ValueError(
                f"ClothingConfig.palette: no caption can ask for {unknown}; the names there are: "
                f"{', '.join(colour_names())}"
            )
        if len(self.palette) < 2:
            raise ValueError(f"ClothingConfig.palette needs two colours, got {dict(self.palette)}")
        wrong = {n: c for n, c in self.palette.items() if not all(0 <= v <= 255 for v in c)}
        if wrong:
            raise ValueError(f"ClothingConfig.palette: sRGB in 0 to 255 is wanted, got {wrong}")
