"""A shift planted in the drawn world: the same people, a step darker or lighter.

What a measure of skin tone must find; and drawn scenes as the pictures of neutral prompts.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import numpy as np
from PIL import Image

from demo.world.looks import SKINS
from demo.world.poses import POSE_NAMES
from demo.world.scenes import Actor, Artist, Scene, draw_whole, render_scene


def in_tone(steps: int) -> Artist:
    """Draws people so many steps of ``SKINS`` darker, or lighter where it is negative.

    The darkest and the lightest stay where there is no further step; a scene's ``look`` keeps the
    tone that the person was made with.
    """

    def artist(layer: Image.Image, actor: Actor) -> None:
        skin = int(np.clip(actor.look.skin + steps, 0, len(SKINS) - 1))
        draw_whole(layer, replace(actor, look=replace(actor.look, skin=skin)))

    return artist


def prompt_scenes(
    n_prompts: int, n_seeds: int, *, size_px: int, first: int = 0, tone_steps: int = 0
) -> list[list[Scene]]:
    """For each prompt so many scenes of one person: what a model might draw for it.

    A prompt stands for a pose: prompt i is pose ``i mod len(POSE_NAMES)``. Scenes are taken in the
    order of their seeds, from ``first`` on.
    """
    artist = in_tone(tone_steps) if tone_steps else None
    wanted = [POSE_NAMES[i % len(POSE_NAMES)] for i in range(n_prompts)]
    found: list[list[Scene]] = [[] for _ in wanted]
    for scene in _single_scenes(size_px, first, artist):
        open_prompts = [
            i
            for i, pose in enumerate(wanted)
            if pose == scene.attributes["pose"] and len(found[i]) < n_seeds
        ]
        if open_prompts:
            found[open_prompts[0]].append(scene)
        if all(len(scenes) == n_seeds for scenes in found):
            return found
    raise AssertionError("scenes never end")


def _single_scenes(size_px: int, first: int, artist: Artist | None) -> Iterator[Scene]:
    for seed in count(first):
        yield render_scene(seed, size_px=size_px, people=1, artist=artist)
