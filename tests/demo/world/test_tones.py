"""The planted shift: the same people in another tone, and scenes by prompt."""

import numpy as np
import pytest

from demo.world.looks import SKINS
from demo.world.poses import POSE_NAMES
from demo.world.scenes import render_scene
from demo.world.tones import in_tone, prompt_scenes


def test_no_step_is_the_scene_itself() -> None:
    plain, same = (render_scene(3, size_px=64, people=1, artist=a) for a in (None, in_tone(0)))
    np.testing.assert_array_equal(plain.image, same.image)


@pytest.mark.parametrize("steps", [1, -1])
def test_a_step_changes_the_skin_alone(steps: int) -> None:
    seed = next(s for s in range(99) if 0 < _skin(s) < len(SKINS) - 1)
    plain, moved = (render_scene(seed, size_px=64, people=1, artist=a)
                    for a in (None, in_tone(steps)))  # fmt: skip
    changed = (plain.image != moved.image).any(axis=2)
    assert 0 < changed.mean() < 0.2
    darker = moved.image[changed].mean() < plain.image[changed].mean()
    assert darker == (steps > 0)
    assert (plain.caption, plain.people[0].keypoints) == (moved.caption, moved.people[0].keypoints)
    assert not (changed & ~plain.people[0].mask).any(where=_far_from(plain.people[0].mask))


def test_the_darkest_stays() -> None:
    seed = next(s for s in range(99) if _skin(s) == len(SKINS) - 1)
    plain, moved = (render_scene(seed, size_px=48, people=1, artist=a) for a in (None, in_tone(1)))
    np.testing.assert_array_equal(plain.image, moved.image)


def test_scenes_of_prompts_are_all_different_and_of_the_prompts_pose() -> None:
    prompts = prompt_scenes(20, 2, size_px=32)
    assert [len(scenes) for scenes in prompts] == [2] * 20
    for i, scenes in enumerate(prompts):
        assert {s.attributes["pose"] for s in scenes} == {POSE_NAMES[i % len(POSE_NAMES)]}
    assert len({s.image.tobytes() for scenes in prompts for s in scenes}) == 40
    shifted = prompt_scenes(20, 2, size_px=32, tone_steps=1)
    assert [s.caption for p in prompts for s in p] == [s.caption for p in shifted for s in p]


def _skin(seed: int) -> int:
    return render_scene(seed, size_px=32, people=1).people[0].look.skin


def _far_from(mask: np.ndarray) -> np.ndarray:
    """Pixels that no pixel of the mask touches: the rest is smoothed together when shrunk."""
    near = np.pad(mask, 1)
    touched = [near[1 + y : 65 + y, 1 + x : 65 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return ~np.any(touched, axis=0)
