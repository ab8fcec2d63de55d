"""Heads of drawn people: skull, hair and face, from the front and in profile."""

import math
from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

from demo.world.brush import Color, Point, capsule, ellipse, limb, mix, shade
from demo.world.looks import HAIRS, SKINS, Look
from demo.world.poses import Pose
from demo.world.skeleton import Skeleton

HeadPoint = Callable[[float, float], Point]  # head coordinates, in head radii, to canvas pixels


def _axes(body: Skeleton) -> tuple[Point, Point]:
    """Unit vectors of the head: to its right in the picture of a front view, and downward."""
    (hx, hy), (nx, ny) = body["head"], body["neck"]
    length = max(math.hypot(nx - hx, ny - hy), 1e-6)
    down = ((nx - hx) / length, (ny - hy) / length)
    return (down[1], -down[0]), down


def draw_back_hair(draw: ImageDraw.ImageDraw, body: Skeleton, look: Look) -> None:
    """Long hair that falls behind the shoulders."""
    hair = HAIRS[look.hair]
    u = body.scale * look.head
    _, down = _axes(body)
    hx, hy = body["head"]
    tip = (hx + down[0] * 0.15 * u, hy + down[1] * 0.15 * u)
    capsule(draw, (hx, hy), tip, ra=0.106 * u, rb=0.088 * u, fill=shade(hair, 0.8))


def draw_head(draw: ImageDraw.ImageDraw, body: Skeleton, look: Look, pose: Pose) -> None:
    """The head with hair and face, turned as the skeleton says."""
    u, skin, hair = body.scale * look.head, SKINS[look.skin], HAIRS[look.hair]
    (rx, ry), (dx, dy) = _axes(body)
    hx, hy = body["head"]
    facing = 0.0
    if pose.side:  # the sign of "forward" along the head's own axis
        nose = body["nose"]
        facing = 1.0 if (nose[0] - hx) * rx + (nose[1] - hy) * ry > 0 else -1.0

    def at(x: float, y: float) -> Point:  # head coordinates, in head radii
        r = 0.095 * u
        return hx + r * (x * rx + y * dx), hy + r * (x * ry + y * dy)

    if look.style == "bun":
        ellipse(draw, at(-0.55 * facing, -1.1), 0.042 * u, 0.042 * u, shade(hair, 0.8))
    if look.style == "ponytail":
        sway = -facing or 0.7
        start, end = at(0.85 * sway, -0.4), at(1.5 * sway, 0.9)
        capsule(draw, start, end, ra=0.032 * u, rb=0.02 * u, fill=shade(hair, 0.85))
    for x in (-0.84, 0.84) if not pose.side else ():
        ellipse(draw, at(x, 0.04), 0.022 * u, 0.022 * u, shade(skin, 0.8))
    top, chin = at(0, -0.18), at(0.06 * facing, 0.3)
    limb(draw, top, chin, ra=0.084 * u, rb=0.068 * u, color=skin)
    if pose.side:
        ellipse(draw, at(0.84 * facing, 0.14), 0.016 * u, 0.016 * u, shade(skin, 0.9))
    _draw_hair(draw, at, look=look, facing=facing, unit=u)
    _draw_face(draw, body, at, skin=skin, facing=facing, unit=u)


def _draw_hair(
    draw: ImageDraw.ImageDraw, at: HeadPoint, *, look: Look, facing: float, unit: float
) -> None:
    hair = HAIRS[look.hair]
    if look.style == "bald":
        return
    if look.style == "curly":
        for x, y in ((-0.75, -0.5), (-0.4, -0.95), (0.1, -1.08), (0.55, -0.85), (0.8, -0.4)):
            ellipse(draw, at(x - 0.3 * facing, y), 0.046 * unit, 0.046 * unit, hair)
        return
    # a cap over the skull: front views show the fringe, side views the back of the head
    cap = [at(math.sin(a) * 1.0 - 0.1 * facing, -0.2 - math.cos(a) * 0.92)
           for a in np.linspace(-1.65, 1.65, 15)]  # fmt: skip
    if facing:
        cap = [at(math.sin(a) * 0.98 - 0.08 * facing, -0.18 - math.cos(a) * 0.92)
               for a in np.linspace(-2.3 if facing > 0 else -0.95,
                                    0.95 if facing > 0 else 2.3, 15)]  # fmt: skip
        cap.append(at(-0.1 * facing, -0.15))
    else:
        cap += [at(0.62, -0.48), at(0.0, -0.62), at(-0.62, -0.48)]
    draw.polygon(cap, fill=hair)
    shine = [at(-0.45, -0.85), at(0.0, -1.02), at(0.1, -0.9), at(-0.35, -0.72)]
    draw.polygon(shine, fill=mix(hair, (255, 255, 255), 0.22))


def _draw_face(
    draw: ImageDraw.ImageDraw,
    body: Skeleton,
    at: HeadPoint,
    *,
    skin: Color,
    facing: float,
    unit: float,
) -> None:
    eyes = ("right_eye", "left_eye") if not facing else ("right_eye",)
    for name in eyes:
        eye = body[name] if not facing else at(0.5 * facing, -0.12)
        ellipse(draw, eye, 0.0155 * unit, 0.0165 * unit, mix(skin, (250, 250, 250), 0.8))
        ellipse(draw, eye, 0.0105 * unit, 0.0130 * unit, (36, 26, 24))
    if not facing:
        ellipse(draw, body["nose"], 0.0105 * unit, 0.013 * unit, shade(skin, 0.78))
        lips = [at(-0.3, 0.42), at(0.0, 0.5), at(0.3, 0.42), at(0.0, 0.64)]
    else:
        lips = [at(0.38 * facing, 0.44), at(0.74 * facing, 0.42), at(0.58 * facing, 0.58)]
    draw.polygon(lips, fill=mix(skin, (170, 30, 40), 0.65))
