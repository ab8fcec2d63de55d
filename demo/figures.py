"""Articulated drawn people: a skeleton posed on the COCO-17 joints, dressed and shaded.

Skeletons are in body units (1 = body height, y down, origin at the hip centre); drawing maps them
to canvas pixels. Everything is a function of its arguments and the given random generator.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import ImageDraw

from demo.brush import Color, Point, blob, capsule, ellipse, limb, mix, shade
from demo.poses import Pose

Kind = Literal["man", "woman", "boy", "girl"]
Bottom = Literal["trousers", "shorts", "skirt", "dress"]
HeadPoint = Callable[[float, float], Point]  # head coordinates, in head radii, to canvas pixels
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


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joint positions by name, body units or canvas pixels."""

    points: Mapping[str, Point]
    scale: float  # pixels per body unit (1 while in body units)

    def __getitem__(self, name: str) -> Point:
        return self.points[name]

    def placed(self, scale: float, origin: Point, *, mirror: bool = False) -> "Skeleton":
        """The skeleton in pixels: scaled, optionally mirrored, hip centre at the origin."""
        sign = -1.0 if mirror else 1.0
        moved = {
            name: (origin[0] + sign * scale * x, origin[1] + scale * y)
            for name, (x, y) in self.points.items()
        }
        return Skeleton(moved, scale)


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
    return Look(
        kind=kind,
        skin=int(rng.integers(len(SKINS))),
        hair=hairs[rng.choice(len(hairs), p=_hair_odds(len(hairs)))],
        style=styles[rng.integers(len(styles))],
        top=top,
        bottom=bottoms[rng.integers(len(bottoms))],
        bottom_color=lower[rng.integers(len(lower))],
        long_sleeves=bool(rng.random() < 0.4),
        stature=float(rng.uniform(0.68, 0.8) if child else rng.uniform(0.9, 1.05)),
        width=float(np.clip(rng.lognormal(0.02, 0.17), 0.78, 1.5)),
        head=1.22 if child else 1.0,
    )


def _hair_odds(n: int) -> list[float]:
    odds = [0.35, 0.28, 0.2, 0.09, 0.08][:n]
    return [o / sum(odds) for o in odds]


def _step(start: Point, angle_deg: float, length: float) -> Point:
    a = math.radians(angle_deg)
    return start[0] + length * math.sin(a), start[1] + length * math.cos(a)


def pose_skeleton(pose: Pose, look: Look) -> Skeleton:
    """The posed skeleton in body units, hip centre at (0, 0), facing right in side views."""
    up = 180.0 - pose.lean
    neck = _step((0.0, 0.0), up, 0.30)
    head = _step(neck, up - pose.head, 0.03 + 0.095 * look.head)
    across = math.radians(pose.lean)  # from the person's right to left along shoulders and hips
    ax, ay = math.cos(across), math.sin(across)
    shoulder, hip = (0.018, 0.012) if pose.side else (0.108 * look.width**0.5, 0.062)
    points: dict[str, Point] = {"neck": neck, "head": head, "hips": (0.0, 0.0)}
    for side, sign in (("right", -1.0), ("left", 1.0)):
        top = (neck[0] + sign * shoulder * ax, neck[1] + sign * shoulder * ay + 0.025)
        if pose.ground == "hands":
            top = (top[0], top[1] - 0.05)
        low = (sign * hip * ax, sign * hip * ay)
        arm = pose.right_arm if side == "right" else pose.left_arm
        leg = pose.right_leg if side == "right" else pose.left_leg
        elbow, knee = _step(top, arm[0], 0.165), _step(low, leg[0], 0.235)
        wrist, ankle = _step(elbow, arm[1], 0.150), _step(knee, leg[1], 0.225)
        points |= {f"{side}_shoulder": top, f"{side}_elbow": elbow, f"{side}_wrist": wrist}
        points |= {f"{side}_hip": low, f"{side}_knee": knee, f"{side}_ankle": ankle}
        points[f"{side}_hand"] = _step(wrist, arm[1], 0.028)
        # feet point forward in side views, slightly outward in front views, up in a handstand
        turn = 78.0 if pose.side else sign * 38.0
        points[f"{side}_toe"] = _step(ankle, leg[1] + turn, 0.075 if pose.side else 0.045)
    return Skeleton(points | _face(pose, look, head), 1.0)


def _face(pose: Pose, look: Look, head: Point) -> dict[str, Point]:
    """Nose, eyes and ears around the head's centre, turned with the head."""
    tilt = math.radians(pose.lean + pose.head)
    r = 0.095 * look.head
    if pose.side:
        spots = {"nose": (0.86, 0.14), "right_eye": (0.46, -0.14), "left_eye": (0.66, -0.14)}
        spots |= {"right_ear": (-0.2, 0.04), "left_ear": (-0.06, 0.04), "mouth": (0.52, 0.5)}
    else:
        spots = {"nose": (0.0, 0.16), "right_eye": (-0.33, -0.1), "left_eye": (0.33, -0.1)}
        spots |= {"right_ear": (-0.84, 0.04), "left_ear": (0.84, 0.04), "mouth": (0.0, 0.5)}
    cos, sin = math.cos(tilt), math.sin(tilt)
    return {
        name: (head[0] + r * (x * cos - y * sin), head[1] + r * (x * sin + y * cos))
        for name, (x, y) in spots.items()
    }


def draw_person(draw: ImageDraw.ImageDraw, body: Skeleton, *, look: Look, pose: Pose) -> None:
    """Draw the placed skeleton as a dressed person, far limbs first."""
    u = body.scale
    sides = ("left", "right") if pose.side else ("right", "left")
    hair = HAIRS[look.hair]
    if pose.side:
        _draw_arm(draw, body, side="left", look=look, dim=0.8)
    if look.style == "long":
        _back_hair(draw, body, look, hair)
    for side in sides:
        _draw_leg(draw, body, side=side, look=look, dim=0.8 if pose.side and side == "left" else 1)
    _draw_torso(draw, body, look, pose)
    limb(draw, body["neck"], body["head"], ra=0.034 * u, rb=0.03 * u, color=SKINS[look.skin])
    _draw_head(draw, body, look, pose)
    for side in ("right",) if pose.side else sides:
        _draw_arm(draw, body, side=side, look=look, dim=1.0)


def _draw_arm(
    draw: ImageDraw.ImageDraw, body: Skeleton, *, side: str, look: Look, dim: float
) -> None:
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
        half = (shoulder[0] + 0.5 * (elbow[0] - shoulder[0]),
                shoulder[1] + 0.5 * (elbow[1] - shoulder[1]))  # fmt: skip
        limb(draw, shoulder, half, ra=0.046 * u * w, rb=0.043 * u * w, color=cloth)


def _draw_leg(
    draw: ImageDraw.ImageDraw, body: Skeleton, *, side: str, look: Look, dim: float
) -> None:
    u, w = body.scale, look.width**0.8
    skin, cloth = shade(SKINS[look.skin], dim), shade(CLOTHES[look.bottom_color], dim)
    hip, knee = body[f"{side}_hip"], body[f"{side}_knee"]
    ankle, toe = body[f"{side}_ankle"], body[f"{side}_toe"]
    upper = cloth if look.bottom in ("trousers", "shorts") else skin
    lower = cloth if look.bottom == "trousers" else skin
    limb(draw, ankle, toe, ra=0.033 * u, rb=0.026 * u, color=shade((70, 52, 46), dim))
    limb(draw, knee, ankle, ra=0.043 * u * w, rb=0.030 * u * w, color=lower)
    limb(draw, hip, knee, ra=0.062 * u * w, rb=0.046 * u * w, color=upper)


def _draw_torso(draw: ImageDraw.ImageDraw, body: Skeleton, look: Look, pose: Pose) -> None:
    u, w = body.scale, look.width
    thick = 0.078 * u * w if pose.side else 0.044 * u * w
    left, right = body["left_hip"], body["right_hip"]
    hem = shade(CLOTHES[look.top if look.bottom == "dress" else look.bottom_color], 1.0)
    if look.bottom in ("skirt", "dress"):
        reach, discs = 0.86 if look.bottom == "dress" else 0.72, [(left, thick), (right, thick)]
        for side, hip in (("left", left), ("right", right)):
            knee = body[f"{side}_knee"]
            spot = (hip[0] + reach * (knee[0] - hip[0]), hip[1] + reach * (knee[1] - hip[1]))
            discs.append((spot, 0.082 * u * w**0.5))
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


def _back_hair(draw: ImageDraw.ImageDraw, body: Skeleton, look: Look, hair: Color) -> None:
    u = body.scale * look.head
    _, down = _axes(body)
    hx, hy = body["head"]
    tip = (hx + down[0] * 0.15 * u, hy + down[1] * 0.15 * u)
    capsule(draw, (hx, hy), tip, ra=0.106 * u, rb=0.088 * u, fill=shade(hair, 0.8))


def _draw_head(draw: ImageDraw.ImageDraw, body: Skeleton, look: Look, pose: Pose) -> None:
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
