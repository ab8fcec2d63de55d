"""The web world: people in a minority, often cut, their action often unsaid, truth exact."""

import numpy as np
import pytest

from demo.world.poses import POSES
from demo.world.scenes import Scene, render_scene
from demo.world.web import WebWorld, render_web_scene

ACTIONS = {action for pose in POSES for action in pose.actions}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render_web_scene(seed, size_px=64) for seed in range(200)]


def says_action(scene: Scene) -> bool:
    return any(action in scene.caption for action in ACTIONS)


def test_same_seed_same_scene() -> None:
    first, again, other = (render_web_scene(seed, size_px=64) for seed in (7, 7, 8))
    assert np.array_equal(first.image, again.image)
    assert first.caption == again.caption
    assert not np.array_equal(first.image, other.image)


def test_shares_are_those_of_the_world(scenes: list[Scene]) -> None:
    with_people = [scene for scene in scenes if scene.people]
    assert 0.3 < len(with_people) / len(scenes) < 0.5
    assert 0.12 < np.mean([says_action(scene) for scene in with_people]) < 0.4
    assert all(scene.image.shape == (64, 64, 3) for scene in scenes)


def test_truth_of_a_cut_scene_lies_inside_it_and_somebody_is_seen() -> None:
    world = WebWorld(with_people=1.0, cut=1.0)
    lost = 0
    for scene in (render_web_scene(seed, size_px=96, world=world) for seed in range(40)):
        assert any(person.mask.any() for person in scene.people)
        for person in scene.people:
            assert person.mask.shape == (96, 96)
            shown = [(x, y) for x, y, visible in person.keypoints if visible]
            assert all(0 <= x < 96 and 0 <= y < 96 for x, y in shown)
            lost += 17 - len(shown)
            if person.mask.any():
                ys, xs = np.nonzero(person.mask)
                box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
                assert person.bbox_xyxy_px == box
    assert lost > 17 * 10


def test_nothing_cut_and_all_said_is_a_scene_of_the_people_set() -> None:
    world = WebWorld(with_people=1.0, cut=0.0, unsaid=0.0)
    ours, theirs = render_web_scene(3, people=1, world=world), render_scene(3, people=1)
    assert np.array_equal(ours.image, theirs.image)
    assert ours.caption == theirs.caption


def test_an_unsaid_action_leaves_everything_else_true() -> None:
    said, unsaid = (render_scene(5, people=2, say_action=flag) for flag in (True, False))
    assert np.array_equal(said.image, unsaid.image)
    assert says_action(said)
    assert not says_action(unsaid)
