"""Proportions by hand, and that they follow the drawn people's build."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from demo.world.scenes import DrawnPerson, render_scene
from hcp.evaluation.body_shape import (
    head_to_torso,
    hips_to_shoulders,
    shoulders_to_torso,
    standing_aspect,
    trunk_to_torso,
)
from storage.records import Person
from tests.hcp.evaluation.drawn import exact_person

STANDING = {  # joint -> x, y
    0: (50, 10), 1: (52, 8), 2: (48, 8), 3: (56, 10), 4: (44, 10), 5: (62, 24), 6: (38, 24),
    11: (57, 60), 12: (43, 60), 13: (57, 90), 14: (43, 90), 15: (57, 120), 16: (43, 120),
}  # fmt: skip


def body(**moved: tuple[float, float]) -> Person:
    points = {**STANDING, **{int(name[1:]): place for name, place in moved.items()}}
    rows = tuple((*points[i], 0.9) if i in points else (0.0, 0.0, 0.0) for i in range(17))
    return Person(bbox_xyxy_px=(30, 0, 70, 125), score=0.9, keypoints=rows)


@pytest.fixture(scope="module")
def people() -> list[DrawnPerson]:
    return [render_scene(seed, size_px=96, people=1).people[0] for seed in range(100)]


def test_ratios_by_hand() -> None:
    assert shoulders_to_torso(body()) == pytest.approx(24 / 36)
    assert hips_to_shoulders(body()) == pytest.approx(14 / 24)
    assert head_to_torso(body()) == pytest.approx(12 / 36)
    assert standing_aspect(body()) == pytest.approx(40 / 125)


def test_a_body_from_the_side_has_no_widths() -> None:
    side = body(j5=(51, 24), j6=(49, 24), j11=(51, 60), j12=(49, 60))
    for ratio in (shoulders_to_torso, hips_to_shoulders, head_to_torso):
        assert ratio(side) is None


def test_only_who_stands_has_an_aspect() -> None:
    bent = body(j13=(80, 75), j14=(75, 75))
    upside_down = body(j5=(62, 96), j6=(38, 96), j15=(57, 0), j16=(43, 0))
    without_legs = replace(body(), keypoints=(*body().keypoints[:15], *[(0.0, 0.0, 0.0)] * 2))
    for person in (bent, upside_down, without_legs):
        assert standing_aspect(person) is None


def test_a_trunk_is_as_wide_as_its_narrowest_cut() -> None:
    mask = np.zeros((130, 100), dtype=np.bool_)
    mask[20:70, 30:70] = True
    mask[20:40, 20:80] = True  # arms
    mask[20:70, 90:95] = True  # somebody else
    assert trunk_to_torso(body(), mask) == pytest.approx(40 / 36, abs=0.02)
    assert trunk_to_torso(body(), np.zeros_like(mask)) is None
    outside = replace(body(), keypoints=tuple((x + 900, y, c) for x, y, c in body().keypoints))
    assert trunk_to_torso(outside, mask) is None


@pytest.mark.parametrize(
    ("ratio", "trait", "sign"),
    [
        (shoulders_to_torso, "width", 1),
        (hips_to_shoulders, "width", -1),
        (head_to_torso, "head", 1),
    ],
)
def test_exact_joints_tell_the_drawn_build(
    people: list[DrawnPerson], ratio: Callable[[Person], float | None], trait: str, sign: int
) -> None:
    rows = [(getattr(p.look, trait), ratio(exact_person(p))) for p in people]
    drawn, measured = np.array([row for row in rows if row[1] is not None], dtype=float).T
    assert len(drawn) > 40
    assert sign * np.corrcoef(drawn, measured)[0, 1] > 0.9


def test_a_mask_tells_the_drawn_build_though_arms_and_skirts_hang_over_it(
    people: list[DrawnPerson],
) -> None:
    rows = [(p.look.width, trunk_to_torso(exact_person(p), p.mask)) for p in people]
    drawn, measured = np.array([row for row in rows if row[1] is not None], dtype=float).T
    assert len(drawn) > 80
    assert np.corrcoef(drawn, measured)[0, 1] > 0.4
