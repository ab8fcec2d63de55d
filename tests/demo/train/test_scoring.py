"""Figures whose right answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from demo.train.scoring import keypoint_error_px, mask_iou, oks_average_precision
from demo.world.scene_store import DrawnScenes, draw_scenes, held_out_seeds
from storage.records import Person


@pytest.fixture(scope="module")
def scenes() -> DrawnScenes:
    return draw_scenes(held_out_seeds(8))


def _truth(scenes: DrawnScenes, *, shift_px: float = 0.0) -> list[list[Person]]:
    return [
        [
            Person(
                bbox_xyxy_px=(x0, y0, x1, y1),
                score=0.9,
                keypoints=tuple(
                    (float(x) + shift_px, float(y), 1.0) for x, y, _ in scenes.keypoints[person]
                ),
            )
            for person in scenes.people_of(index)
            for x0, y0, x1, y1 in [scenes.boxes[person].tolist()]
        ]
        for index in range(len(scenes.images))
    ]


def test_the_truth_scores_one(scenes: DrawnScenes) -> None:
    assert oks_average_precision(scenes, _truth(scenes)) == pytest.approx(1.0)


def test_farther_is_worse_and_nobody_is_zero(scenes: DrawnScenes) -> None:
    near, far = (oks_average_precision(scenes, _truth(scenes, shift_px=s)) for s in (3.0, 9.0))
    assert 1.0 > near > far
    assert oks_average_precision(scenes, [[] for _ in scenes.images]) == 0.0


def test_a_false_person_in_front_costs_precision(scenes: DrawnScenes) -> None:
    people = _truth(scenes)
    ghost = replace(next(p[0] for p in people if p), score=0.99, keypoints=((1.0, 1.0, 1.0),) * 17)
    assert oks_average_precision(scenes, [[ghost, *row] for row in people]) < 0.9


def test_lengths_must_agree(scenes: DrawnScenes) -> None:
    with pytest.raises(ValueError, match="8 scenes, 1 detections"):
        oks_average_precision(scenes, [[]])


def test_the_keypoint_error_is_that_of_the_people_found(scenes: DrawnScenes) -> None:
    people = _truth(scenes, shift_px=3.0)
    assert keypoint_error_px(scenes, people) == pytest.approx(3.0, abs=1e-4)
    elsewhere = replace(people[0][0] if people[0] else people[1][0], bbox_xyxy_px=(0, 0, 1, 1))
    assert np.isnan(keypoint_error_px(scenes, [[elsewhere] for _ in scenes.images]))
    assert np.isnan(keypoint_error_px(scenes, [[] for _ in scenes.images]))


def test_mask_iou_by_hand() -> None:
    first, second = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    assert mask_iou(first, second) == 1.0
    first[:2], second[1:3] = True, True
    assert mask_iou(first, second) == pytest.approx(4 / 12)
