"""Instance masks that overlap to one 8-bit indexed image.

P people of one image.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from priors.masks import PersonMasks
from storage.records import Person


def index_people(
    people: Sequence[Person], found: PersonMasks
) -> tuple[tuple[Person, ...], NDArray[np.uint8]]:
    """Paint the masks of the people that pass the gate into one indexed image.

    Where masks overlap, the person of the higher detection score is in front (of equal scores, the
    one listed first). ``mask_area_px`` counts the pixels that the person has in the image so made,
    so that a shard's numbers can be checked against its mask.

    Args:
        people: all people of the image.
        found: masks of those with ``passes_gate``, in their order.

    Returns:
        The people with ``mask_area_px`` and ``mask_score`` set where they pass the gate, and the
        image [H, W]: 0 background, i = ``people[i - 1]``.
    """
    passing = [i for i, person in enumerate(people) if person.passes_gate]
    if len(passing) != len(found.masks):
        raise ValueError(f"{len(passing)} people pass the gate, got {len(found.masks)} masks")
    index = np.zeros(found.masks.shape[1:], dtype=np.uint8)
    for k in sorted(range(len(passing)), key=lambda k: (people[passing[k]].score, -k)):
        index[found.masks[k]] = passing[k] + 1
    areas = np.bincount(index.ravel(), minlength=len(people) + 1)
    marked = list(people)
    for k, i in enumerate(passing):
        marked[i] = replace(
            people[i], mask_area_px=int(areas[i + 1]), mask_score=round(float(found.scores[k]), 4)
        )
    return tuple(marked), index
