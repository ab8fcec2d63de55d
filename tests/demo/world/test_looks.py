"""Looks are varied, and suit the person and the pose."""

import numpy as np

from demo.world.looks import CLOTHES, KINDS, SKINS, STYLES, random_look
from demo.world.poses import POSES


def test_looks_cover_kinds_and_skins() -> None:
    rng = np.random.default_rng(0)
    looks = [random_look(rng, pose=POSES[0]) for _ in range(300)]
    assert {look.kind for look in looks} == set(KINDS)
    assert {look.skin for look in looks} == set(range(len(SKINS)))
    assert max(look.width for look in looks) > 1.25 * min(look.width for look in looks)
    assert all(look.bottom not in ("skirt", "dress") for look in looks if look.kind == "man")


def test_looks_suit_the_pose_and_the_kind() -> None:
    rng = np.random.default_rng(1)
    handstand = next(p for p in POSES if p.name == "handstand")
    for look in (random_look(rng, pose=handstand) for _ in range(200)):
        assert look.bottom not in ("skirt", "dress")
        assert look.style in STYLES[look.kind]
        assert look.top in CLOTHES
        assert look.bottom_color != look.top
        assert (look.stature < 0.85) == (look.kind in ("boy", "girl"))


def test_a_kind_can_be_asked_for() -> None:
    rng = np.random.default_rng(2)
    assert {random_look(rng, pose=POSES[0], kind="girl").kind for _ in range(20)} == {"girl"}
