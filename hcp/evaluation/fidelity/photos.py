"""The photos that drawn pictures are held against: a dataset's own, held-out ones first."""

from dataclasses import dataclass
from itertools import islice

import numpy as np

from hcp.evaluation.fidelity.space import Image8, fitted
from storage.pictures import stored_photo
from storage.records import Split
from storage.versions import DatasetVersion

_ORDER: tuple[Split, ...] = ("val", "train")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencePhotos:
    """Photos at the pictures' size, and where they come from."""

    images: tuple[Image8, ...]  # HWC uint8, all of one size
    n_held_out: int  # the first ones; the others are of the training

    def __str__(self) -> str:
        trained = len(self.images) - self.n_held_out
        held = f"{self.n_held_out} held-out photo{'' if self.n_held_out == 1 else 's'}"
        return f"{held} and {trained} of the training" if trained else held


def reference_photos(
    version: DatasetVersion, *, limit: int, height_px: int, width_px: int
) -> ReferencePhotos:
    """At most ``limit`` photos of a version: the held-out ones and, where they do not fill it,
    photos of the training, each cut and resized by ``fitted``.

    Raises:
        ShardError: a shard is missing or broken.
    """
    found: list[Image8] = []
    counts: list[int] = []
    for split in _ORDER:
        for sample in islice(version.iter_samples(split), limit - len(found)):
            image = np.asarray(stored_photo(sample.image_jpeg))
            found.append(fitted(image, height_px=height_px, width_px=width_px))
        counts.append(len(found))
    return ReferencePhotos(images=tuple(found), n_held_out=counts[0])
