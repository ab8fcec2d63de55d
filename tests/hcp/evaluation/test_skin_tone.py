"""The typology angle: its formula, its categories, and where a face gives none."""

from dataclasses import replace

import numpy as np
import pytest

from demo.world.looks import SKINS
from demo.world.scenes import Scene, render_scene
from hcp.evaluation.colour import srgb_to_lab
from hcp.evaluation.skin_tone import skin_tone, typology_angle
from storage.records import Person
from tests.hcp.evaluation.drawn import exact_person

FRONTAL = next(
    seed for seed in range(99)
    if render_scene(seed, size_px=32, people=1).attributes["pose"] == "standing"
)  # fmt: skip


def seen(*, seed: int = 0, size_px: int = 128) -> tuple[Scene, Person]:
    scene = render_scene(seed, size_px=size_px, people=1)
    return scene, exact_person(scene.people[0])


def without(person: Person, *joints: int) -> Person:
    points = [(x, y, 0.0 if i in joints else c) for i, (x, y, c) in enumerate(person.keypoints)]
    return replace(person, keypoints=tuple(points))


def test_the_angle_by_hand() -> None:
    assert typology_angle([70.0, 5.0, 20.0]) == pytest.approx(45.0)
    assert typology_angle([30.0, 5.0, 20.0]) == pytest.approx(-45.0)
    assert typology_angle([50.0, 5.0, 20.0]) == 0.0
    with pytest.raises(ValueError, match=r"b\* must be above 0"):
        typology_angle([70.0, 0.0, -3.0])


def test_colours_and_angles_are_those_of_other_implementations() -> None:
    rgb = [(255, 224, 200), (224, 172, 132), (160, 104, 70), (78, 48, 34), (12, 5, 3)]
    # colour-science 0.4.7: cctf_decoding, then XYZ_to_Lab with the white of the same matrix
    theirs = [
        (91.118209255, 7.043402985, 15.677098007), (74.203308070, 13.901975126, 27.908822672),
        (49.274804420, 18.760569395, 28.255801839), (23.167431776, 11.893386762, 14.587201917),
        (1.746030735, 1.581857919, 1.412268236),
    ]  # fmt: skip
    np.testing.assert_allclose(srgb_to_lab(rgb), theirs, atol=1e-6)
    # scikit-image 0.26.0, rgb2lab: it rounds the white to five digits
    rounded = [
        (91.118229600, 7.041530498, 15.680884469), (74.203334743, 13.900692171, 27.911475114),
        (49.274809839, 18.759784849, 28.257382053), (23.167428322, 11.892891325, 14.588242889),
        (1.746021879, 1.581770818, 1.412358449),
    ]  # fmt: skip
    np.testing.assert_allclose(srgb_to_lab(rgb), rounded, atol=0.005)
    for ours, lab in zip(srgb_to_lab(rgb), rounded, strict=True):
        assert typology_angle(ours) == pytest.approx(typology_angle(lab), abs=0.01)


@pytest.mark.parametrize("size_px", [128, 256])
def test_the_angle_follows_the_drawn_tone(size_px: int) -> None:
    rows: list[tuple[int, float]] = []
    for seed in range(40):
        scene, person = seen(seed=seed, size_px=size_px)
        angle = skin_tone(scene.image, person)
        assert angle is not None
        rows.append((scene.people[0].look.skin, angle))
    tones, angles = np.array(rows).T
    true = [typology_angle(srgb_to_lab(SKINS[int(tone)])) for tone in tones]
    assert np.corrcoef(true, angles)[0, 1] > 0.98
    assert np.abs(np.array(true) - angles).mean() < 6


def test_hair_glasses_and_forehead_do_not_count() -> None:
    scene, person = seen(seed=4)
    plain = skin_tone(scene.image, person)
    painted = scene.image.copy()
    eyes = np.array(person.keypoints)[[1, 2], :2].mean(axis=0)
    painted[: int(eyes[1]) + 1] = (20, 200, 40)  # all above the eyes
    assert skin_tone(painted, person) == pytest.approx(plain, abs=4)


def test_an_ear_that_hair_hides_is_no_hindrance() -> None:
    scene, person = seen(seed=FRONTAL, size_px=256)
    angle = skin_tone(scene.image, person)
    assert angle is not None
    assert skin_tone(scene.image, without(person, 3, 4)) == pytest.approx(angle, abs=8)
    assert skin_tone(scene.image, without(person, 1, 3)) == pytest.approx(angle, abs=8)


def test_where_there_is_no_face_there_is_no_angle() -> None:
    scene, person = seen(seed=4)
    grey = scene.image.mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    assert skin_tone(scene.image, without(person, 0)) is None  # from behind
    assert skin_tone(scene.image, without(person, 1, 2)) is None
    assert skin_tone(grey, person) is None  # black and white
    assert skin_tone(np.full_like(scene.image, (90, 120, 200)), person) is None  # blue light
    small = [(x / 8, y / 8, c) for x, y, c in person.keypoints]
    assert skin_tone(scene.image[::8, ::8], replace(person, keypoints=tuple(small))) is None
    away = [(x - 500, y, c) for x, y, c in person.keypoints]
    assert skin_tone(scene.image, replace(person, keypoints=tuple(away))) is None
    one_point = [(50.0, 50.0, 0.9)] * 17
    assert skin_tone(scene.image, replace(person, keypoints=tuple(one_point))) is None
