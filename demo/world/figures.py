"""Drawn people: a posed skeleton in canvas pixels, dressed and shaded."""

import math
from collections.abc import Callable

import numpy as np
from PIL.ImageDraw import ImageDraw

from demo.world.brush import Color, Point, blob, capsule, ellipse, limb, mix, shade
from demo.world.looks import CLOTHES, HAIRS, SKINS, Look
from demo.world.poses import Pose
from demo.world.skeleton import Skeleton

HeadPoint = Callable[[float, float], Point]  # head coordinates, in head radii, to canvas pixels


def draw_person(
    draw: ImageDraw, body: Skeleton, *, look: Look, pose: Pose, without: str = ""
) -> None:
    """Draw the placed skeleton as a dressed person, far limbs first.

    ``without`` names a limb that is left out, such as "left_leg".
    """
    u = body.scale
    sides = ("left", "right") if pose.side else ("right", "left")
    if pose.side and without != "left_arm":
        draw_arm(draw, body, side="left", look=look, dim=0.8)
    if look.style == "long":
        draw_back_hair(draw, body, look)
    for side in sides:
        if without != f"{side}_leg":
            dim = 0.8 if pose.side and side == "left" else 1.0
            _draw_leg(draw, body, side=side, look=look, dim=dim)
    _draw_torso(draw, body, look, pose)
    limb(draw, body["neck"], body["head"], ra=0.034 * u, rb=0.03 * u, color=SKINS[look.skin])
    draw_head(draw, body, look, pose)
    for side in ("right",) if pose.side else sides:
        if without != f"{side}_arm":
            draw_arm(draw, body, side=side, look=look, dim=1.0)


def draw_arm(draw: ImageDraw, body: Skeleton, *, side: str, look: Look, dim: float) -> None:
    """Draw one arm of the skeleton; ``dim`` darkens the far one."""
    u, w = body.scale, look.width**0.7
    skin, cloth = shade(SKINS[look.skin], dim), shade(CLOTHES[look.top], dim)
    shoulder, elbow = body[f"{side}_shoulder"], body[f"{side}_elbow"]
    wrist, hand = body[f"{side}_wrist"], body[f"{side}_hand"]
    fore = cloth if look.long_sleeves else skin
    ellipse(draw, hand, 0.030 * u, 0.030 * u, shade(skin, 0.72))
    ellipse(draw, hand, 0.025 * u, 0.025 * u, skin)
    limb(draw, elbow, wrist, ra=0.031 * u * w, rb=0.023 * u * w, color=fore)
    limb(draw, shoulder, elbow, ra=0.040 * u * w, rb=0.031 * u * w, color=fore)
    if not look.long_sleeves:
        half = _between(shoulder, elbow, 0.5)
        limb(draw, shoulder, half, ra=0.046 * u * w, rb=0.043 * u * w, color=cloth)


def _draw_leg(draw: ImageDraw, body: Skeleton, *, side: str, look: Look, dim: float) -> None:
    u, w = body.scale, look.width**0.8
    skin, cloth = shade(SKINS[look.skin], dim), shade(CLOTHES[look.bottom_color], dim)
    hip, knee = body[f"{side}_hip"], body[f"{side}_knee"]
    ankle, toe = body[f"{side}_ankle"], body[f"{side}_toe"]
    upper = cloth if look.bottom in ("trousers", "shorts") else skin
    lower = cloth if look.bottom == "trousers" else skin
    limb(draw, ankle, toe, ra=0.033 * u, rb=0.026 * u, color=shade((70, 52, 46), dim))
    limb(draw, knee, ankle, ra=0.043 * u * w, rb=0.030 * u * w, color=lower)
    limb(draw, hip, knee, ra=0.062 * u * w, rb=0.046 * u * w, color=upper)


def _draw_torso(draw: ImageDraw, body: Skeleton, look: Look, pose: Pose) -> None:
    u, w = body.scale, look.width
    thick = 0.078 * u * w if pose.side else 0.044 * u * w
    left, right = body["left_hip"], body["right_hip"]
    hem = shade(CLOTHES[look.top if look.bottom == "dress" else look.bottom_color], 1.0)
    if look.bottom in ("skirt", "dress"):
        reach, discs = 0.86 if look.bottom == "dress" else 0.72, [(left, thick), (right, thick)]
        for side, hip in (("left", left), ("right", right)):
            discs.append((_between(hip, body[f"{side}_knee"], reach), 0.082 * u * w**0.5))
        blob(draw, discs, color=hem)
    else:
        blob(draw, [(left, thick * 1.12), (right, thick * 1.12)], color=hem)
    waist = [(_between(body["neck"], p, 0.9), thick) for p in (left, right)]
    tops = [(body["left_shoulder"], thick * 0.95), (body["right_shoulder"], thick * 0.95)]
    blob(draw, [*waist, *tops], color=CLOTHES[look.top])


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])


def _axes(body: Skeleton) -> tuple[Point, Point]:
    """Unit vectors of the head: to its right in the picture of a front view, and downward."""
    (hx, hy), (nx, ny) = body["head"], body["neck"]
    length = max(math.hypot(nx - hx, ny - hy), 1e-6)
    down = ((nx - hx) / length, (ny - hy) / length)
    return (down[1], -down[0]), down


def draw_back_hair(draw: ImageDraw, body: Skeleton, look: Look) -> None:
    """Long hair that falls behind the shoulders."""
    hair = HAIRS[look.hair]
    u = body.scale * look.head
    _, down = _axes(body)
    hx, hy = body["head"]
    tip = (hx + down[0] * 0.15 * u, hy + down[1] * 0.15 * u)
    capsule(draw, (hx, hy), tip, ra=0.106 * u, rb=0.088 * u, fill=shade(hair, 0.8))


def draw_head(draw: ImageDraw, body: Skeleton, look: Look, pose: Pose) -> None:
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


def _draw_hair(draw: ImageDraw, at: HeadPoint, *, look: Look, facing: float, unit: float) -> None:
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
    draw: ImageDraw,
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
