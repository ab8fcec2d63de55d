"""Models of the protocols without weights: a photo's own pixels say what is on it.

The blue channel of the pixel (0, 0) is the command: 0 nobody, 200 kills the process, any other
value n: n people side by side.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from priors.masks import PersonMasks
from storage.records import Person

KILL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class StubPose:
    """``n`` people, one per vertical stripe, the first one the surest; may kill its process."""

    may_kill: bool = True

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Person]]:
        return [self._people(image) for image in images]

    def _people(self, image: NDArray[np.uint8]) -> list[Person]:
        command = int(image[0, 0, 2])
        if command == KILL and self.may_kill:
            os._exit(1)
        height, width = image.shape[:2]
        return [stripe(i, command, width, height) for i in range(command if command < KILL else 1)]


def stripe(i: int, n: int, width: int, height: int) -> Person:
    left, right = width * i / n, width * (i + 1) / n
    point = (round((left + right) / 2, 2), height / 2, 0.9)
    return Person(
        bbox_xyxy_px=(round(left, 2), 0.0, round(right, 2), float(height)),
        score=round(0.95 - i / 100, 4),
        keypoints=(point,) * 17,
    )


@dataclass(slots=True, kw_only=True)
class StubMasks:
    """The boxes themselves, a fifth wider than they are so that neighbours overlap."""

    n_calls: int = 0
    n_images: int = 0

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], people: Sequence[Sequence[Person]]
    ) -> list[PersonMasks]:
        self.n_calls += 1
        self.n_images += len(images)
        return [self._masks(i, p) for i, p in zip(images, people, strict=True)]

    def _masks(self, image: NDArray[np.uint8], people: Sequence[Person]) -> PersonMasks:
        masks = np.zeros((len(people), *image.shape[:2]), dtype=np.bool_)
        for i, person in enumerate(people):
            left, _, right, _ = person.bbox_xyxy_px
            margin = (right - left) / 10
            masks[i, :, max(0, round(left - margin)) : round(right + margin)] = True
        return PersonMasks(masks=masks, scores=np.full(len(people), 0.8, dtype=np.float32))
