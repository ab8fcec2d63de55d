"""Overlapping masks in one indexed image."""

import numpy as np
import pytest

from priors.index_mask import index_people
from priors.masks import PersonMasks
from storage.records import Person


def person(score: float, *, passes: bool = True) -> Person:
    return Person(
        bbox_xyxy_px=(0, 0, 4, 4), score=score, keypoints=((0, 0, 0),) * 17, passes_gate=passes
    )


def masks(*columns: slice) -> PersonMasks:
    drawn = np.zeros((len(columns), 4, 8), dtype=np.bool_)
    for mask, part in zip(drawn, columns, strict=True):
        mask[:, part] = True
    scores = np.linspace(0.5, 0.7, len(columns), dtype=np.float32)
    return PersonMasks(masks=drawn, scores=scores)


def test_the_surer_person_is_in_front_wherever_it_is_listed() -> None:
    for scores in ((0.9, 0.6), (0.6, 0.9)):
        people, index = index_people([person(s) for s in scores], masks(slice(0, 5), slice(3, 8)))
        front = 1 + int(np.argmax(scores))
        assert (index[:, 3:5] == front).all()
        assert [p.mask_area_px for p in people] == [int((index == i).sum()) for i in (1, 2)]
        assert sum(p.mask_area_px or 0 for p in people) == 32


def test_of_equal_scores_the_first_is_in_front() -> None:
    _, index = index_people([person(0.5), person(0.5)], masks(slice(0, 8), slice(0, 8)))
    assert (index == 1).all()


def test_numbers_count_everybody_and_only_the_fit_get_a_mask() -> None:
    crowd = [person(0.9, passes=False), person(0.8), person(0.7, passes=False), person(0.6)]
    people, index = index_people(crowd, masks(slice(0, 2), slice(6, 8)))
    assert set(np.unique(index)) == {0, 2, 4}
    assert [p.mask_area_px for p in people] == [None, 8, None, 8]
    assert [p.mask_score for p in people] == [None, 0.5, None, 0.7]
    assert index.dtype == np.uint8


def test_the_masks_must_be_those_of_the_fit() -> None:
    with pytest.raises(ValueError, match="1 people pass the gate, got 2 masks"):
        index_people([person(0.9)], masks(slice(0, 2), slice(6, 8)))
