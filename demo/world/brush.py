"""Shaded shapes on a Pillow canvas: tapered limbs, ellipses, hulls.

Colours are RGB 0-255; points and radii are canvas pixels. Light falls from the upper left.
"""

from collections.abc import Sequence

from PIL.ImageDraw import ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]


def shade(color: Color, factor: float) -> Color:
    """The colour made darker (factor < 1) or lighter (> 1)."""
    if factor <= 1:
        return tuple(int(c * factor) for c in color)  # pyright: ignore[reportReturnType]
    return tuple(int(c + (255 - c) * (factor - 1)) for c in color)  # pyright: ignore[reportReturnType]


def mix(a: Color, b: Color, share: float) -> Color:
    """A colour between ``a`` (share 0) and ``b`` (share 1)."""
    return tuple(int(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # pyright: ignore[reportReturnType]


def ellipse(draw: ImageDraw, center: Point, rx: float, ry: float, fill: Color) -> None:
    """A filled axis-parallel ellipse."""
    x, y = center
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill)


def capsule(draw: ImageDraw, a: Point, b: Point, *, ra: float, rb: float, fill: Color) -> None:
    """A filled tapered limb from ``a`` (radius ra) to ``b`` (radius rb)."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    length = max((dx * dx + dy * dy) ** 0.5, 1e-6)
    nx, ny = -dy / length, dx / length
    corners = [
        (a[0] + nx * ra, a[1] + ny * ra),
        (b[0] + nx * rb, b[1] + ny * rb),
        (b[0] - nx * rb, b[1] - ny * rb),
        (a[0] - nx * ra, a[1] - ny * ra),
    ]
    draw.polygon(corners, fill=fill)
    ellipse(draw, a, ra, ra, fill)
    ellipse(draw, b, rb, rb, fill)


def limb(draw: ImageDraw, a: Point, b: Point, *, ra: float, rb: float, color: Color) -> None:
    """A tapered limb with a dark rim and a soft light on its upper left."""
    capsule(draw, a, b, ra=ra, rb=rb, fill=shade(color, 0.72))
    for share, inset, factor in ((0.1, 0.84, 1.0), (0.28, 0.42, 1.16)):
        shift = share * min(ra, rb)
        a2, b2 = (a[0] - shift, a[1] - shift), (b[0] - shift, b[1] - shift)
        capsule(draw, a2, b2, ra=ra * inset, rb=rb * inset, fill=shade(color, factor))


def hull(points: Sequence[Point]) -> list[Point]:
    """The convex hull of the points (monotone chain)."""
    ordered = sorted(set(points))

    def half(seq: Sequence[Point]) -> list[Point]:
        chain: list[Point] = []
        for p in seq:
            while len(chain) >= 2:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) > 0:
                    break
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return half(ordered) + half(ordered[::-1])


def blob(draw: ImageDraw, discs: Sequence[tuple[Point, float]], *, color: Color) -> None:
    """The shaded convex hull of discs (centre, radius): torsos and skirts."""
    for shift, inset, factor in ((0.0, 1.0, 0.72), (0.12, 0.86, 1.0), (0.34, 0.45, 1.12)):
        outline: list[Point] = []
        cx = sum(p[0] for p, _ in discs) / len(discs)
        cy = sum(p[1] for p, _ in discs) / len(discs)
        for (x, y), r in discs:
            # the light patch also shrinks towards the middle, or it would reach the rim
            pull = 0.0 if factor <= 1.0 else 0.35
            px, py = x + (cx - x) * pull - shift * r, y + (cy - y) * pull - shift * r
            for ux, uy in _CIRCLE:
                outline.append((px + ux * r * inset, py + uy * r * inset))
        draw.polygon(hull(outline), fill=shade(color, factor))


_CIRCLE: tuple[Point, ...] = (
    (1, 0), (0.92, 0.38), (0.71, 0.71), (0.38, 0.92), (0, 1), (-0.38, 0.92), (-0.71, 0.71),
    (-0.92, 0.38), (-1, 0), (-0.92, -0.38), (-0.71, -0.71), (-0.38, -0.92), (0, -1),
    (0.38, -0.92), (0.71, -0.71), (0.92, -0.38),
)  # fmt: skip
