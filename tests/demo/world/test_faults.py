"""Bodies drawn wrong: the same picture but for one fault."""

import numpy as np
import pytest

from demo.world.faults import FAULTS, render_faulty
from demo.world.scenes import render_scene


@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_person_differs_and_everything_else_stays(fault: str) -> None:
    for seed in range(3, 9):
        sound, faulty = (
            render_scene(seed, size_px=96, people=1),
            render_faulty(seed, fault, size_px=96),
        )
        again = render_faulty(seed, fault, size_px=96)
        assert np.array_equal(faulty.image, again.image)
        assert faulty.caption == sound.caption
        joints, ours = ([row[:2] for row in scene.people[0].keypoints] for scene in (sound, faulty))
        assert joints == ours  # where the sound body's are
        changed = np.any(faulty.image != sound.image, axis=-1).mean()
        cut = sound.attributes["pose"] == "smiling" and fault == "missing_leg"  # no legs to miss
        assert 0.003 < changed < 0.35 or cut


def test_an_unknown_fault_is_named() -> None:
    with pytest.raises(ValueError, match=r"missing_leg.*got 'six fingers'"):
        render_faulty(0, "six fingers")


def test_a_missing_leg_takes_pixels_and_a_second_body_adds_them() -> None:
    def area(fault: str | None) -> float:
        background = render_scene(31, size_px=96, people=1, artist=lambda layer, actor: None)
        scene = (
            render_faulty(31, fault, size_px=96)
            if fault
            else render_scene(31, size_px=96, people=1)
        )
        return float(np.any(scene.image != background.image, axis=-1).mean())

    assert area("missing_leg") < area(None) < area("fused")
    assert area("cut_body") < 0.8 * area(None)


def test_one_of_several_people_has_the_fault() -> None:
    chosen: set[int] = set()
    for seed in range(12):
        sound = render_scene(seed, size_px=96, people=3)
        faulty = render_faulty(seed, "smeared_face", size_px=96, people=3)
        index = int(str(faulty.attributes["faulty"]))
        chosen.add(index)
        changed = np.any(faulty.image != sound.image, axis=-1)
        others = [p.mask for i, p in enumerate(sound.people) if i != index]
        assert changed.any()
        assert not (changed & (np.any(others, axis=0))).sum() > 12  # but for soft edges
    assert chosen == {0, 1, 2}
    with pytest.raises(ValueError, match="people must be 1 to 3, got 0"):
        render_faulty(0, "fused", people=0)
