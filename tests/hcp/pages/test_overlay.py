"""Photos with masks, boxes and skeletons drawn on."""

import dataclasses

import numpy as np
import pytest

from hcp.pages.overlay import decode_image, draw_people


def test_overlay_tints_masks_and_leaves_the_photo(make_unit_of, make_sample):
    sample = make_sample(make_unit_of(1).records[0])
    bare = dataclasses.replace(
        sample, people=tuple(dataclasses.replace(p, bbox_xyxy_px=(7, 5, 7, 5), passes_gate=False)
                             for p in sample.people))  # fmt: skip
    image = decode_image(sample)
    before = image.copy()
    drawn = draw_people(image, bare)
    assert np.array_equal(image, before)
    changed = (drawn != image).any(-1)
    assert changed[1:4, 2:5].mean() > 0.8
    assert np.array_equal(drawn[sample.mask == 0][:-1], image[sample.mask == 0][:-1])
    with pytest.raises(ValueError, match="must be"):
        draw_people(image[:3], sample)
