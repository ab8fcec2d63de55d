"""Bodies drawn wrong, one fault at a time: what a judge of pictures must see.

``render_faulty`` draws the scene of a seed with one person; ``render_scene(seed, people=1)`` is the
same picture without the fault. Of several people one has it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
from PIL import Image, ImageFilter
from PIL.ImageDraw import Draw

from demo.world.brush import Point
from demo.world.figures import draw_arm, draw_person
from demo.world.poses import POSE_NAMES, POSES
from demo.world.scenes import Actor, Scene, draw_whole, render_scene
from demo.world.skeleton import Skeleton, pose_skeleton

Fault = Callable[[Image.Image, Actor, np.random.Generator], None]

_CHAINS: Mapping[str, tuple[str, ...]] = {
    "arm": ("shoulder", "elbow", "wrist", "hand"),
    "leg": ("hip", "knee", "ankle", "toe"),
}


def render_faulty(seed: int, fault: str, *, size_px: int = 256, people: int = 1) -> Scene:
    """The scene of this seed with so many people, one of whom has the fault (a name of ``FAULTS``).

    Its attribute ``faulty`` is that person's place in ``people``.

    Raises:
        ValueError: no such fault, or nobody to have it.
    """
    if fault not in FAULTS:
        raise ValueError(f"render_faulty: fault must be one of {', '.join(FAULTS)}, got {fault!r}")
    if people < 1:
        raise ValueError(f"render_faulty: people must be 1 to 3, got {people}")
    rng = np.random.default_rng([20261127, seed])
    faulty = int(rng.integers(people))
    drawn = 0

    def artist(layer: Image.Image, actor: Actor) -> None:
        nonlocal drawn
        if drawn == faulty:
            FAULTS[fault](layer, actor, rng)
        else:
            draw_whole(layer, actor)
        drawn += 1

    scene = render_scene(seed, size_px=size_px, people=people, artist=artist)
    return replace(scene, attributes={**scene.attributes, "faulty": faulty})


def _moved(body: Skeleton, points: Mapping[str, Point]) -> Skeleton:
    return Skeleton({**body.points, **points}, body.scale)


def _side(rng: np.random.Generator) -> str:
    return "right" if rng.random() < 0.5 else "left"


def _extra_arm(layer: Image.Image, actor: Actor, rng: np.random.Generator) -> None:
    draw_whole(layer, actor)
    side, turn = _side(rng), math.radians(rng.uniform(50, 110) * (1 if rng.random() < 0.5 else -1))
    joints = [f"{side}_{name}" for name in _CHAINS["arm"]]
    x0, y0 = actor.body[joints[0]]
    cos, sin = math.cos(turn), math.sin(turn)
    turned = {
        name: (x0 + cos * (x - x0) - sin * (y - y0), y0 + sin * (x - x0) + cos * (y - y0))
        for name in joints
        for x, y in (actor.body[name],)
    }
    draw_arm(Draw(layer), _moved(actor.body, turned), side=side, look=actor.look, dim=1.0)


def _missing_leg(layer: Image.Image, actor: Actor, rng: np.random.Generator) -> None:
    draw_person(
        Draw(layer), actor.body, look=actor.look, pose=actor.pose, without=f"{_side(rng)}_leg"
    )


def _long_limb(layer: Image.Image, actor: Actor, rng: np.random.Generator) -> None:
    chain = _CHAINS["arm" if rng.random() < 0.5 else "leg"]
    side = _side(rng)
    joints = [f"{side}_{name}" for name in chain]
    points, (x, y) = dict[str, Point](), actor.body[joints[0]]
    for a, b in pairwise(joints):
        (xa, ya), (xb, yb) = actor.body[a], actor.body[b]
        x, y = x + 2 * (xb - xa), y + 2 * (yb - ya)
        points[b] = (x, y)
    _draw_body(layer, actor, _moved(actor.body, points))


def _fused(layer: Image.Image, actor: Actor, rng: np.random.Generator) -> None:
    shift = 0.16 * actor.body.scale * (1 if rng.random() < 0.5 else -1)
    _draw_body(layer, actor, _shifted(actor.body, shift))
    draw_whole(layer, actor)


def _wrong_pose(layer: Image.Image, actor: Actor, rng: np.random.Generator) -> None:
    others = [name for name in POSE_NAMES if name not in (actor.pose.name, "smiling")]
    name = others[int(rng.integers(len(others)))]
    pose = next(pose for pose in POSES if pose.name == name)
    skeleton = pose_skeleton(pose, actor.look)
    heights = [y for _, y in skeleton.points.values()]
    ground = max(y for _, y in actor.body.points.values())
    scale = min(actor.body.scale, 0.9 * ground / (max(heights) - min(heights)))
    foot = (actor.body["hips"][0], ground - scale * max(heights))
    body = skeleton.placed(scale, foot, mirror=actor.mirror)
    draw_person(Draw(layer), body, look=actor.look, pose=pose)


def _smeared_face(layer: Image.Image, actor: Actor, rng: np.random.Generator) -> None:
    draw_whole(layer, actor)
    box = _head_box(actor)
    head = layer.crop(box)
    smear = head.filter(ImageFilter.GaussianBlur(0.045 * actor.body.scale))
    smear = smear.rotate(float(rng.uniform(60, 120)))
    layer.paste(smear, box[:2], head.getchannel("A"))


def _head_turned(layer: Image.Image, actor: Actor, rng: np.random.Generator) -> None:
    draw_whole(layer, actor)
    box = _head_box(actor)
    head = layer.crop(box)
    layer.paste((0, 0, 0, 0), box, head.getchannel("A"))
    layer.alpha_composite(head.rotate(180), (max(box[0], 0), max(box[1], 0)))


def _cut_body(layer: Image.Image, actor: Actor, rng: np.random.Generator) -> None:
    draw_whole(layer, actor)
    (nx, ny), (hx, hy) = actor.body["neck"], actor.body["hips"]
    share = float(rng.uniform(0.3, 0.7))
    middle = (nx + share * (hx - nx), ny + share * (hy - ny))
    length = math.hypot(hx - nx, hy - ny)
    ux, uy = (hx - nx) / length, (hy - ny) / length
    if rng.random() < 0.5:  # the upper part is missing instead of the lower
        ux, uy = -ux, -uy
    far = 4.0 * layer.width
    corners = [
        (middle[0] + a * far * -uy + b * far * ux, middle[1] + a * far * ux + b * far * uy)
        for a, b in ((-1, 0), (1, 0), (1, 1), (-1, 1))
    ]
    Draw(layer).polygon(corners, fill=(0, 0, 0, 0))


FAULTS: Mapping[str, Fault] = {
    "extra_arm": _extra_arm,
    "missing_leg": _missing_leg,
    "long_limb": _long_limb,
    "fused": _fused,
    "wrong_pose": _wrong_pose,
    "smeared_face": _smeared_face,
    "head_turned": _head_turned,
    "cut_body": _cut_body,
}


def _draw_body(layer: Image.Image, actor: Actor, body: Skeleton) -> None:
    draw_person(Draw(layer), body, look=actor.look, pose=actor.pose)


def _shifted(body: Skeleton, dx: float) -> Skeleton:
    return Skeleton({name: (x + dx, y) for name, (x, y) in body.points.items()}, body.scale)


def _head_box(actor: Actor) -> tuple[int, int, int, int]:
    x, y = actor.body["head"]
    r = 0.135 * actor.body.scale * actor.look.head
    return round(x - r), round(y - r), round(x + r), round(y + r)
