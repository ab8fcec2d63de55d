"""Drawn scenes: repeatable, true to their captions, with exact ground truth."""

import numpy as np
import pytest

from demo.world.backgrounds import PLACES
from demo.world.looks import CLOTHES
from demo.world.poses import POSE_NAMES
from demo.world.scenes import Scene, render_scene


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render_scene(seed, size_px=128) for seed in range(160)]


def test_same_seed_same_scene() -> None:
    first, again, other = (render_scene(seed, people=1) for seed in (5, 5, 6))
    assert np.array_equal(first.image, again.image)
    assert first.caption == again.caption
    assert first.people[0].keypoints == again.people[0].keypoints
    assert not np.array_equal(first.image, other.image)


def test_size_does_not_change_the_scene() -> None:
    large, small = render_scene(11, size_px=256, people=2), render_scene(11, size_px=128, people=2)
    assert large.caption == small.caption
    for big, little in zip(large.people, small.people, strict=True):
        a = np.array(big.keypoints)[:, :2] / 2
        assert np.allclose(a, np.array(little.keypoints)[:, :2], atol=0.02)


@pytest.mark.parametrize("people", [0, 1, 2, 3])
def test_people_as_asked(people: int) -> None:
    assert len(render_scene(3, people=people).people) == people


@pytest.mark.parametrize(("people", "size"), [(4, 256), (-1, 256), (None, 16)])
def test_bad_arguments_are_refused(people: int | None, size: int) -> None:
    with pytest.raises(ValueError, match="render_scene"):
        render_scene(0, size_px=size, people=people)


def test_the_world_is_varied(scenes: list[Scene]) -> None:
    with_people = [s for s in scenes if s.people]
    assert 0.65 < len(with_people) / len(scenes) < 0.88
    assert {s.attributes["pose"] for s in with_people} == set(POSE_NAMES)
    assert len(POSE_NAMES) >= 10
    assert {s.attributes["place"] for s in scenes} == set(PLACES)
    assert len({p.look.skin for s in scenes for p in s.people}) == 10


def test_masks_are_disjoint_and_boxes_fit(scenes: list[Scene]) -> None:
    for scene in scenes:
        cover = sum((p.mask.astype(int) for p in scene.people), np.zeros((128, 128), int))
        assert cover.max(initial=0) <= 1
        for person in scene.people:
            ys, xs = np.nonzero(person.mask)
            box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            assert person.bbox_xyxy_px == box


def test_people_pass_the_gate_by_size_and_keypoints() -> None:
    scenes = [render_scene(seed) for seed in range(300, 340)]
    best = [max((p for p in s.people), key=lambda p: p.mask.sum()) for s in scenes if s.people]
    assert all(p.mask.mean() >= 0.02 for p in best)
    assert all(sum(v > 0 for _, _, v in p.keypoints) >= 6 for p in best)


def test_visible_keypoints_lie_on_their_person(scenes: list[Scene]) -> None:
    for person in (p for s in scenes for p in s.people):
        for x, y, visible in person.keypoints:
            assert 0 <= x < 128
            assert 0 <= y < 128
            if visible == 2:
                near = person.mask[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3]
                assert near.any()
            if visible == 0:
                assert (x, y) == (0.0, 0.0)


def test_a_person_in_front_hides_the_other() -> None:
    """Somewhere among crowds a joint is covered, and is then labelled 1, not 2."""
    crowds = [render_scene(seed, size_px=128, people=3) for seed in range(40)]
    hidden = 0
    for scene in crowds:
        for person in scene.people:
            others = np.any([p.mask for p in scene.people if p is not person], axis=0)
            for x, y, visible in person.keypoints:
                area = (
                    slice(max(int(y) - 3, 0), int(y) + 4),
                    slice(max(int(x) - 3, 0), int(x) + 4),
                )
                if visible and others[area].all():
                    hidden += 1
                    assert visible == 1
    assert hidden > 0


def test_left_and_right_are_the_persons_own() -> None:
    """Facing the camera, the person's left shoulder is on the picture's right; mirrored too."""
    front = [s for s in (render_scene(i, people=1) for i in range(120))
             if s.attributes["pose"] in ("standing", "waving", "arms_up")]  # fmt: skip
    assert len(front) > 5
    assert all(s.people[0].keypoints[5][0] > s.people[0].keypoints[6][0] for s in front)


def test_captions_tell_the_truth(scenes: list[Scene]) -> None:
    for scene in (s for s in scenes if len(s.people) == 1):
        look = scene.people[0].look
        assert look.kind in scene.caption.split()
        words = scene.caption.split()
        for noun in ("shirt", "dress"):
            if noun in words:
                assert words[words.index(noun) - 1] == look.top
    for scene in (s for s in scenes if not s.people):
        words = set(scene.caption.split())
        assert not words & {"man", "woman", "boy", "girl", "people", "men", "women"}


def test_named_clothes_colour_is_in_the_picture() -> None:
    scene = next(s for s in (render_scene(i, people=1) for i in range(50))
                 if "red shirt" in s.caption)  # fmt: skip
    pixels = scene.image[scene.people[0].mask].astype(int)
    assert (np.abs(pixels - CLOTHES["red"]).sum(axis=1) < 40).mean() > 0.08
