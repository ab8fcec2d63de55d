"""Drawn people: a posed skeleton in canvas pixels, dressed and shaded."""

from PIL import ImageDraw

from demo.world.brush import Point, blob, ellipse, limb, shade
from demo.world.heads import draw_back_hair, draw_head
from demo.world.looks import CLOTHES, SKINS, Look
from demo.world.poses import Pose
from demo.world.skeleton import Skeleton


def draw_person(draw: ImageDraw.ImageDraw, body: Skeleton, *, look: Look, pose: Pose) -> None:
    """Draw the placed skeleton as a dressed person, far limbs first."""
    u = body.scale
    sides = ("left", "right") if pose.side else ("right", "left")
    if pose.side:
        _draw_arm(draw, body, side="left", look=look, dim=0.8)
    if look.style == "long":
        draw_back_hair(draw, body, look)
    for side in sides:
        _draw_leg(draw, body, side=side, look=look, dim=0.8 if pose.side and side == "left" else 1)
    _draw_torso(draw, body, look, pose)
    limb(draw, body["neck"], body["head"], ra=0.034 * u, rb=0.03 * u, color=SKINS[look.skin])
    draw_head(draw, body, look, pose)
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
