"""Small faults of masks: small holes are filled, far specks go, everything else stays."""

import numpy as np
import pytest
from numpy.typing import NDArray

from priors.config import MaskMending
from priors.masks import PersonMasks
from priors.mending import mend_masks

CONFIG = MaskMending()
BODY = (slice(20, 180), slice(60, 140))  # 12,800 px: 25 px are a small hole, 64 px a small speck


def body(*more: tuple[slice, slice], holes: tuple[tuple[slice, slice], ...] = ()) -> PersonMasks:
    mask = np.zeros((200, 400), dtype=np.bool_)
    mask[BODY] = True
    for place in more:
        mask[place] = True
    for place in holes:
        mask[place] = False
    return PersonMasks(masks=mask[None], scores=np.array([0.8], dtype=np.float32))


def square(top: int, left: int, side: int) -> tuple[slice, slice]:
    return slice(top, top + side), slice(left, left + side)


def changed(found: PersonMasks, config: MaskMending = CONFIG) -> tuple[int, NDArray[np.bool_]]:
    before = found.masks.copy()
    mended = mend_masks(found, config)
    np.testing.assert_array_equal(found.masks, before)  # an argument is never changed
    np.testing.assert_array_equal(mended.masks.scores, found.scores)
    return mended.n_holes + mended.n_specks, mended.masks.masks[0]


@pytest.mark.parametrize(("side", "filled"), [(1, True), (5, True), (6, False), (30, False)])
def test_small_holes_are_filled_and_larger_ones_stay(side: int, filled: bool) -> None:
    """Kind: holes of a mask, below and above the threshold (0.2 % of the mask)."""
    hole = square(90, 90, side)
    n, mask = changed(body(holes=(hole,)))
    assert n == filled
    assert bool(mask[hole].all()) == filled


@pytest.mark.parametrize(
    ("side", "distance", "removed"),
    [(1, 40, True), (7, 40, True), (9, 40, False), (7, 11, False), (7, 3, False), (30, 100, False)],
)
def test_specks_go_where_they_are_small_and_far(side: int, distance: int, removed: bool) -> None:
    """Kind: pieces of a mask, by size (0.5 % of it) and distance (a tenth of its side)."""
    speck = square(100, 139 + distance, side)
    n, mask = changed(body(speck))
    assert n == removed
    assert bool(mask[speck].any()) != removed


def test_a_person_in_parts_keeps_them() -> None:
    """Kind: people cut by what stands before them: large parts far apart are no specks."""
    legs = (slice(150, 190), slice(250, 290))
    n, mask = changed(body(legs))
    assert n == 0
    assert mask[legs].all()


def test_notches_at_the_masks_edge_are_no_holes() -> None:
    n, mask = changed(body(holes=(square(20, 100, 3), (slice(100, 101), slice(60, 80)))))
    assert n == 0
    assert not mask[21, 101]


def test_holes_at_the_photos_edge_that_is_the_frame_stay_open() -> None:
    mask = np.ones((1, 100, 100), dtype=np.bool_)
    mask[0, 0, 50] = False
    mended = mend_masks(PersonMasks(masks=mask, scores=np.ones(1, np.float32)), CONFIG)
    assert mended.n_masks == 0


def test_all_of_it_is_counted_and_each_person_stands_alone() -> None:
    one = body(square(5, 300, 3), square(190, 390, 2), holes=(square(90, 90, 3),))
    other = body()
    both = PersonMasks(
        masks=np.concatenate([one.masks, other.masks]), scores=np.ones(2, dtype=np.float32)
    )
    mended = mend_masks(both, CONFIG)
    assert (mended.n_masks, mended.n_holes, mended.n_specks) == (1, 1, 2)
    np.testing.assert_array_equal(mended.masks.masks, np.repeat(other.masks, 2, axis=0))
    again = mend_masks(mended.masks, CONFIG)
    assert again.n_masks == 0


def test_empty_masks_and_nobody() -> None:
    for n in (0, 2):
        nothing = PersonMasks(
            masks=np.zeros((n, 9, 9), dtype=np.bool_), scores=np.zeros(n, dtype=np.float32)
        )
        mended = mend_masks(nothing, CONFIG)
        assert mended.n_masks == 0
        assert not mended.masks.masks.any()


def test_it_can_be_switched_off_and_set() -> None:
    found = body(square(5, 300, 3), holes=(square(90, 90, 3),))
    assert changed(found, MaskMending(enabled=False))[0] == 0
    assert changed(found, MaskMending(max_hole_fraction=0))[0] == 1
    assert changed(found, MaskMending(max_speck_fraction=0))[0] == 1
    with pytest.raises(ValueError, match=r"fractions must be < 0\.5"):
        MaskMending(max_hole_fraction=0.7)
    with pytest.raises(ValueError, match="fractions must be >= 0"):
        MaskMending(max_speck_fraction=-0.1)
    with pytest.raises(ValueError, match="min_speck_distance must be >= 0, got -1"):
        MaskMending(min_speck_distance=-1)
