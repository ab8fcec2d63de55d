"""Small drawn samples: one stick person before a wall, with exact keypoints and mask."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from PIL import Image, ImageDraw

from hcp.tokens import human_spans
from storage.records import COCO_LIMBS, Keypoint, Person, Sample
from storage.streaming import Cursor, Facts, Place

BODY = (  # x, y in a box of 1 x 1, COCO order
    (0.50, 0.08), (0.53, 0.06), (0.47, 0.06), (0.56, 0.08), (0.44, 0.08), (0.65, 0.22),
    (0.35, 0.22), (0.75, 0.38), (0.25, 0.38), (0.85, 0.50), (0.15, 0.50), (0.60, 0.55),
    (0.40, 0.55), (0.62, 0.75), (0.38, 0.75), (0.64, 0.95), (0.36, 0.95),
)  # fmt: skip


def body_keypoints(
    box: tuple[float, float, float, float], *, confidence: float = 0.9
) -> tuple[Keypoint, ...]:
    """A standing body that fills the box."""
    left, top, right, bottom = box
    return tuple((left + x * (right - left), top + y * (bottom - top), confidence) for x, y in BODY)


def make_person(
    box: tuple[float, float, float, float] = (20, 10, 60, 90),
    *,
    score: float = 0.9,
    confidence: float = 0.9,
    passes_gate: bool = True,
) -> Person:
    return Person(
        bbox_xyxy_px=box,
        score=score,
        keypoints=body_keypoints(box, confidence=confidence),
        passes_gate=passes_gate,
    )


def make_sample(
    seed: int = 0,
    *,
    size_px: tuple[int, int] = (96, 96),
    caption: str = "a woman doing yoga in the park",
    people: Sequence[Person] | None = None,
) -> Sample:
    """A photo of `size_px` (width, height) with its people drawn in white."""
    width, height = size_px
    if people is None:
        people = (make_person((width * 0.2, height * 0.1, width * 0.6, height * 0.9)),)
    rng = np.random.default_rng(seed)
    wall = tuple(int(v) for v in rng.integers(40, 160, size=3))
    image = Image.new("RGB", size_px, wall)
    mask = Image.new("L", size_px, 0)
    for number, person in enumerate(people, start=1):
        for a, b in COCO_LIMBS:
            line = [person.keypoints[a][:2], person.keypoints[b][:2]]
            ImageDraw.Draw(image).line(line, fill="white", width=5)
            if person.passes_gate:
                ImageDraw.Draw(mask).line(line, fill=number, width=5)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95)
    jpeg = buffer.getvalue()
    digest = hashlib.sha256(jpeg + str(seed).encode()).hexdigest()
    return Sample(
        key=digest[:16],
        uri=f"{seed}.jpg",
        sha256=digest,
        phash="0" * 16,
        width_px=width,
        height_px=height,
        caption=caption,
        attributes={},
        people=tuple(people),
        human_spans=tuple(human_spans(caption)),
        image_jpeg=jpeg,
        mask=np.asarray(mask),
    )


@dataclass(frozen=True, kw_only=True)
class ReadyPlace:
    """A place whose sample is in memory."""

    sample: Sample
    epoch: int
    shard: str = "memory"

    def facts(self) -> Facts:
        return Facts(self.sample.key, self.sample.width_px, self.sample.height_px)

    def read(self) -> Sample:
        return self.sample

    def stand_ins(self) -> Iterator[Place]:
        return iter(())


@dataclass(frozen=True)
class epoch_source:  # noqa: N801, called like a function all over
    """The samples of every epoch in an order of its own, like `storage.streaming`."""

    samples: Sequence[Sample]

    def places(self, cursor: Cursor | None = None) -> Iterator[tuple[Place, Cursor]]:
        first = cursor or Cursor()
        for epoch in count(first.epoch):
            order = np.random.default_rng(epoch).permutation(len(self.samples))
            for offset in range(first.offset if epoch == first.epoch else 0, len(order)):
                place = ReadyPlace(sample=self.samples[order[offset]], epoch=epoch)
                yield place, Cursor(epoch=epoch, offset=offset + 1)
