"""Small faults of people's masks, mended: holes that are filled, specks far away that go.

P people of one image. What counts as small and far is a share of each mask (``MaskMending``), so
that it does not depend on the photo's resolution.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from priors.config import MaskMending
from priors.masks import PersonMasks
from storage.extras import explained_imports

with explained_imports():
    import cv2

_PIECES, _HOLES = 8, 4  # neighbours that join pixels: a piece may hang by a corner, a hole may not


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """Masks after mending, and what was done to them."""

    masks: PersonMasks
    n_masks: int = 0  # that were changed
    n_holes: int = 0  # filled
    n_specks: int = 0  # removed


def mend_masks(found: PersonMasks, config: MaskMending) -> Mended:
    """Fill small holes and remove small specks far from the rest, in each person's mask.

    The largest piece of a mask always stays. Scores are the model's own and do not change.
    """
    if not config.enabled or not len(found.masks):
        return Mended(masks=found)
    masks = found.masks.copy()
    done = [_mend(mask, config) for mask in masks]
    n_specks, n_holes = (sum(each) for each in zip(*done, strict=True))
    n_masks = sum(any(each) for each in done)
    mended = PersonMasks(masks=masks, scores=found.scores)
    return Mended(masks=mended, n_masks=n_masks, n_holes=n_holes, n_specks=n_specks)


def _mend(mask: NDArray[np.bool_], config: MaskMending) -> tuple[int, int]:
    """Mend one mask [H, W] in place; how many specks went and how many holes were filled."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return 0, 0
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    outlines, _ = cv2.findContours(part.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if len(outlines) == 1:  # most masks, and much faster than to label their pixels
        return 0, 0
    area = int(part.sum())
    n_specks = _remove_specks(part, config, area=area)
    return n_specks, _fill_holes(part, largest=config.max_hole_fraction * area)


def _remove_specks(part: NDArray[np.bool_], config: MaskMending, *, area: int) -> int:
    n, labels, stats = _components(part, _PIECES)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas <= config.max_speck_fraction * area
    small[[0, 1 + int(areas[1:].argmax())]] = False  # the background, and the largest piece
    if not small.any():
        return 0
    in_small = small[labels]
    to_rest = cv2.distanceTransform((~part | in_small).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    nearest = np.full(n, np.inf)
    np.minimum.at(nearest, labels[in_small], to_rest[in_small])
    far = small & (nearest > config.min_speck_distance * area**0.5)
    part &= ~far[labels]
    return int(far.sum())


def _fill_holes(part: NDArray[np.bool_], *, largest: float) -> int:
    outside = np.pad(~part, 1, constant_values=True)
    _, labels, stats = _components(outside, _HOLES)
    holes = stats[:, cv2.CC_STAT_AREA] <= largest
    holes[[0, labels[0, 0]]] = False  # the mask itself, and what surrounds it
    if holes.any():
        part |= holes[labels[1:-1, 1:-1]]
    return int(holes.sum())


def _components(
    pixels: NDArray[np.bool_], connectivity: int
) -> tuple[int, NDArray[np.int32], NDArray[np.int32]]:
    found: Any = cv2.connectedComponentsWithStats(pixels.view(np.uint8), connectivity=connectivity)
    return found[0], found[1], found[2]
