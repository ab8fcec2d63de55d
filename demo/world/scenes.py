"""Drawn scenes with captions, exact keypoints and instance masks: the embedded world's photos.

One entry point, ``render_scene``: the picture is a function of the seed alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageDraw import Draw, ImageDraw

from demo.world import captions
from demo.world.backgrounds import PLACES, Place
from demo.world.brush import ellipse
from demo.world.figures import draw_person
from demo.world.looks import CLOTHES, KINDS, Look, random_look
from demo.world.poses import POSE_NAMES, POSES, Pose, jittered
from demo.world.skeleton import Skeleton, pose_skeleton
from demo.world.things import THINGS, draw_bench, draw_board, draw_umbrella
from storage.records import COCO_FLIP, COCO_KEYPOINTS, Box

_LAND = ("beach", "park", "street", "room", "snow", "stage", "night")
_HEIGHT = {1: (0.66, 0.88), 2: (0.56, 0.74), 3: (0.48, 0.62)}
"""Body height by the number of people, share of the picture's side."""
_OVERSAMPLE = 2

CocoKeypoint = tuple[float, float, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPerson:
    """Ground truth of one person; pixels of the finished picture."""

    keypoints: tuple[CocoKeypoint, ...]  # 17 rows of x_px, y_px, COCO visibility 0, 1 or 2
    mask: NDArray[np.bool_]  # [H, W], visible pixels only
    bbox_xyxy_px: Box  # of the visible pixels
    pose: str
    look: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One picture with everything known about it."""

    image: NDArray[np.uint8]  # [H, W, 3] RGB
    caption: str
    people: tuple[DrawnPerson, ...]
    attributes: Mapping[str, object]  # place, pose, n_people, things


@dataclass(frozen=True, slots=True)
class Actor:
    """A person placed on the canvas, before drawing."""

    look: Look
    pose: Pose
    body: Skeleton  # canvas pixels
    mirror: bool


Artist = Callable[[Image.Image, Actor], None]
"""Draws a person on a transparent layer of the canvas."""


def draw_whole(layer: Image.Image, actor: Actor) -> None:
    """The person as they are."""
    draw_person(Draw(layer), actor.body, look=actor.look, pose=actor.pose)


def render_scene(
    seed: int,
    *,
    size_px: int = 256,
    people: int | None = None,
    say_action: bool = True,
    artist: Artist | None = None,
) -> Scene:
    """Draw the scene of this seed.

    ``people`` fixes the number of people (0 to 3); by default three quarters of the scenes have
    some. The same seed at another ``size_px`` gives the same scene at that size. Without
    ``say_action`` the caption does not say what the people do. Another ``artist`` may draw the
    people; masks are of what is drawn, joints of the sound bodies.

    Raises:
        ValueError: people outside 0 to 3, or size_px below 32.
    """
    if size_px < 32:
        raise ValueError(f"render_scene: size_px must be >= 32, got {size_px}")
    if people is not None and not 0 <= people <= 3:
        raise ValueError(f"render_scene: people must be 0 to 3, got {people}")
    rng = np.random.default_rng([20261123, seed])
    drawn = int(rng.choice(4, p=[0.24, 0.54, 0.15, 0.07]))
    count = drawn if people is None else people
    if count == 0:
        return _thing_scene(rng, size_px)
    return _people_scene(rng, size_px, count, say_action=say_action, artist=artist or draw_whole)


def _people_scene(
    rng: np.random.Generator, size_px: int, count: int, say_action: bool, artist: Artist
) -> Scene:
    side = size_px * _OVERSAMPLE
    pose = _choose_pose(rng, count)
    place = PLACES["sea" if pose.name == "surfing" else _LAND[rng.integers(len(_LAND))]]
    canvas = Image.new("RGB", (side, side))
    place.paint(canvas, rng)
    actors = _place_actors(rng, pose, side=side, count=count)
    layers: list[Image.Image] = []
    for actor in actors:
        _draw_props(Draw(canvas), actor, rng)
        layer = Image.new("RGBA", (side, side))
        artist(layer, actor)
        canvas.paste(layer, (0, 0), layer)
        layers.append(layer)
    masks = _visible_masks(layers, size_px)
    looks = [actor.look for actor in actors]
    return Scene(
        image=_finish(canvas, size_px),
        caption=captions.people(looks, pose if say_action else None, place, rng),
        people=tuple(_truth(a, m, size_px) for a, m in zip(actors, masks, strict=True)),
        attributes={"place": place.name, "pose": pose.name, "n_people": count, "things": []},
    )


def _choose_pose(rng: np.random.Generator, count: int) -> Pose:
    names = POSE_NAMES if count == 1 else tuple(n for n in POSE_NAMES if n != "smiling")
    name = names[rng.integers(len(names))]
    variants = [pose for pose in POSES if pose.name == name]
    return variants[rng.integers(len(variants))]


def _place_actors(rng: np.random.Generator, pose: Pose, *, side: int, count: int) -> list[Actor]:
    """The people from left to right, drawn in random depth order by the caller's sequence."""
    same_kind = rng.random() < 0.5
    same_top = rng.random() < 0.4
    kind = KINDS[rng.integers(len(KINDS))] if same_kind and count > 1 else None
    low, high = _HEIGHT[count]
    height = rng.uniform(low, high) * (1.75 if pose.ground == "cut" else 1.0)
    ground = rng.uniform(0.86, 0.95) * side
    looks: list[Look] = []
    for i in range(count):
        look = random_look(rng, pose=pose, kind=kind)
        if i and same_kind and same_top and "dress" not in (look.bottom, looks[0].bottom):
            look = replace(look, top=looks[0].top)
        looks.append(look)
    actors: list[Actor] = []
    for i, look in enumerate(looks):
        x = (i + 0.5) / count * 0.9 + 0.05 + rng.normal(0, 0.03)
        small = look.stature if count > 1 else 0.5 + 0.5 * look.stature
        scale = height * small * side
        body_pose, mirror = jittered(pose, rng), bool(rng.random() < 0.5)
        actors.append(
            _fit(Actor(look, body_pose, pose_skeleton(body_pose, look), mirror),
                 x=x * side, ground=ground + rng.normal(0, 0.01) * side, scale=scale, side=side)
        )  # fmt: skip
    return actors


def _fit(actor: Actor, *, x: float, ground: float, scale: float, side: int) -> Actor:
    """The actor's body in pixels, feet on the ground and inside the picture where it fits."""
    pose = actor.pose
    unit = actor.body.placed(1.0, (0.0, 0.0), mirror=actor.mirror)
    xs = [p[0] for p in unit.points.values()]
    ys = [p[1] for p in unit.points.values()]
    top, foot = min(ys) - 0.09 * actor.look.head, max(ys) + 0.03
    if pose.prop == "umbrella":
        top = min(top, unit["right_hand"][1] - 0.52)
    if pose.ground == "cut":
        # the head near the top, the legs out of the picture
        y = 0.12 * side - top * scale
        return replace(actor, body=actor.body.placed(scale, (x, y), mirror=actor.mirror))
    lift = {"air": 0.13, "board": 0.06}.get(pose.ground, 0.0) * scale
    scale = min(scale, (ground - lift - 0.03 * side) / (foot - top))
    left, right = min(xs) - 0.06, max(xs) + 0.06
    scale = min(scale, 0.96 * side / (right - left))
    x = float(np.clip(x, 0.02 * side - left * scale, 0.98 * side - right * scale))
    origin = (x, ground - lift - foot * scale)
    return replace(actor, body=actor.body.placed(scale, origin, mirror=actor.mirror))


def _draw_props(draw: ImageDraw, actor: Actor, rng: np.random.Generator) -> None:
    body, unit = actor.body, actor.body.scale
    names = tuple(CLOTHES)
    color = CLOTHES[names[rng.integers(7)]]
    feet = max(body["left_ankle"][1], body["right_ankle"][1]) + 0.03 * unit
    match actor.pose.prop:
        case "bench":
            x, y = body["hips"]
            draw_bench(draw, x, y + 0.07 * unit, base=feet, unit=unit)
        case "ball":
            x, y = body["right_toe"]
            sign = -1 if actor.mirror else 1
            THINGS["ball"].draw(draw, x + sign * 0.09 * unit, y + 0.06 * unit, 0.13 * unit, color)
        case "board":
            middle = 0.5 * (body["left_ankle"][0] + body["right_ankle"][0])
            draw_board(draw, middle, feet - 0.02 * unit, unit=unit, color=color)
        case "umbrella":
            draw_umbrella(draw, body["right_hand"], unit=unit, color=color)
        case "none":
            pass
    if actor.pose.ground in ("feet", "hands", "seat", "air"):
        _shadow(draw, actor)


def _shadow(draw: ImageDraw, actor: Actor) -> None:
    body, unit = actor.body, actor.body.scale
    lowest = max(p[1] for p in body.points.values()) + 0.03 * unit
    y = lowest + (0.13 * unit if actor.pose.ground == "air" else -0.01 * unit)
    ellipse(draw, (body["hips"][0], y), 0.2 * unit, 0.022 * unit, (70, 70, 66))


def _visible_masks(layers: list[Image.Image], size_px: int) -> list[NDArray[np.bool_]]:
    """Each layer's pixels that no later layer covers, at the picture's size."""
    covered = np.zeros((size_px, size_px), dtype=bool)
    masks: list[NDArray[np.bool_]] = []
    for layer in reversed(layers):
        alpha = layer.getchannel("A").resize((size_px, size_px), Image.Resampling.BOX)
        solid = np.asarray(alpha) > 127
        masks.append(solid & ~covered)
        covered |= solid
    return masks[::-1]


def _truth(actor: Actor, mask: NDArray[np.bool_], size_px: int) -> DrawnPerson:
    rows: list[CocoKeypoint] = []
    order = [COCO_KEYPOINTS[i] for i in COCO_FLIP] if actor.mirror else COCO_KEYPOINTS
    for name in order:
        x, y = (v / _OVERSAMPLE for v in actor.body[name])
        if not (0 <= x < size_px and 0 <= y < size_px):
            rows.append((0.0, 0.0, 0))
            continue
        hidden = actor.pose.side and name in ("left_eye", "left_ear")
        near = mask[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3]
        rows.append((round(x, 2), round(y, 2), 2 if near.any() and not hidden else 1))
    return DrawnPerson(
        keypoints=tuple(rows), mask=mask, bbox_xyxy_px=box_of(mask), pose=actor.pose.name,
        look=actor.look,
    )  # fmt: skip


def box_of(mask: NDArray[np.bool_]) -> Box:
    """The box of a mask's pixels; all 0 where it has none."""
    ys, xs = np.nonzero(mask)
    if not len(xs):
        return 0.0, 0.0, 0.0, 0.0
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def _thing_scene(rng: np.random.Generator, size_px: int) -> Scene:
    side = size_px * _OVERSAMPLE
    nouns = tuple(THINGS)
    count = int(rng.choice(3, p=[0.1, 0.65, 0.25]))
    first = THINGS[nouns[rng.integers(len(nouns))]]
    places = first.places if count else tuple(PLACES)
    place: Place = PLACES[places[rng.integers(len(places))]]
    canvas = Image.new("RGB", (side, side))
    place.paint(canvas, rng)
    draw = Draw(canvas)
    chosen = [first][:count]
    if count == 2:
        fitting = [t for t in THINGS.values() if place.name in t.places and t is not first]
        chosen += [fitting[rng.integers(len(fitting))]] if fitting else []
    named = []
    for i, thing in enumerate(chosen):
        color = tuple(thing.colors)[rng.integers(len(thing.colors))]
        low, high = thing.height
        shrink = 0.78 if len(chosen) == 2 else 1.0
        height = rng.uniform(low, high) * shrink * side
        x = (0.5 if len(chosen) == 1 else 0.28 + 0.46 * i) + rng.normal(0, 0.03)
        base = rng.uniform(0.84, 0.93) * side
        ellipse(draw, (x * side, base), 0.5 * height, 0.05 * height, (70, 70, 66))
        thing.draw(draw, x * side, base, height, thing.colors[color])
        named.append((thing, color))
    return Scene(
        image=_finish(canvas, size_px),
        caption=captions.no_people(named, place, rng),
        people=(),
        attributes={
            "place": place.name, "pose": None, "n_people": 0,
            "things": [f"{color} {thing.noun}".strip() for thing, color in named],
        },
    )  # fmt: skip


def _finish(canvas: Image.Image, size_px: int) -> NDArray[np.uint8]:
    small = canvas.resize((size_px, size_px), Image.Resampling.BOX)
    return np.ascontiguousarray(np.asarray(small))
