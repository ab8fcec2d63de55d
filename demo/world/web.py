"""The web world: what a base model learns from before anybody fine-tunes it for people.

As on the web, people are in a minority of the pictures, often cut by the frame, and their captions
often do not say what they do. The clean scenes of ``demo.world.scenes`` are the people set.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from demo.world.scenes import CocoKeypoint, DrawnPerson, Scene, box_of, render_scene


@dataclass(frozen=True, slots=True, kw_only=True)
class WebWorld:
    """How far the web world is from the people set; shares of pictures."""

    with_people: float = 0.4
    cut: float = 0.75  # of all: a window of the scene
    unsaid: float = 0.75  # of those with people: the caption leaves the action out
    smallest_window: float = 0.5  # side of a window, share of the scene's


def render_web_scene(
    seed: int, *, size_px: int = 256, people: int | None = None, world: WebWorld | None = None
) -> Scene:
    """Draw the web scene of this seed; ``people`` fixes their number (0 to 3) in the whole scene.

    Raises:
        ValueError: as ``render_scene``.
    """
    world = world or WebWorld()
    rng = np.random.default_rng([20261126, seed])
    drawn = int(rng.choice(4, p=[1.0 - world.with_people, *(world.with_people * _COUNTS)]))
    is_cut, is_unsaid = rng.random(2) < (world.cut, world.unsaid)
    window = float(rng.uniform(world.smallest_window, 0.85)) if is_cut else 1.0
    scene = render_scene(
        seed,
        size_px=round(size_px / window),
        people=drawn if people is None else people,
        say_action=not is_unsaid,
    )
    return _cut(scene, size_px, rng) if is_cut else scene


_COUNTS = np.array([0.7, 0.2, 0.1])
"""Shares of one, two and three people."""


def _cut(scene: Scene, size_px: int, rng: np.random.Generator) -> Scene:
    side = scene.image.shape[0]
    middle = np.full(2, side / 2) + rng.normal(0, 0.1 * side, 2)
    if scene.people:  # a photo of somebody shows some of them
        person = scene.people[int(rng.integers(len(scene.people)))]
        seen = [(x, y) for x, y, visible in person.keypoints if visible]
        middle = np.array(seen[int(rng.integers(len(seen)))]) if seen else middle
    left, top = (int(np.clip(round(c - size_px / 2), 0, side - size_px)) for c in middle)
    rows, columns = slice(top, top + size_px), slice(left, left + size_px)
    people = tuple(_cut_person(p, rows, columns) for p in scene.people)
    image = np.ascontiguousarray(scene.image[rows, columns])
    return replace(scene, image=image, people=people)


def _cut_person(person: DrawnPerson, rows: slice, columns: slice) -> DrawnPerson:
    mask: NDArray[np.bool_] = np.ascontiguousarray(person.mask[rows, columns])
    height, width = mask.shape
    points: list[CocoKeypoint] = []
    for x, y, visible in person.keypoints:
        inside = visible and 0 <= x - columns.start < width and 0 <= y - rows.start < height
        shown = (round(x - columns.start, 2), round(y - rows.start, 2), visible)
        points.append(shown if inside else (0.0, 0.0, 0))
    return replace(person, keypoints=tuple(points), mask=mask, bbox_xyxy_px=box_of(mask))
