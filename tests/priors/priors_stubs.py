"""Models of the protocols without weights, and photos that they understand.

The blue channel of the pixel (0, 0) is the command: 0 nobody, 200 kills the process, any other
value n: n people side by side.
"""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from priors.config import Extraction, ExtractorConfig
from priors.decode import Decode
from priors.extract import Extractor
from priors.masks import PersonMasks
from storage.layout import Place, Root
from storage.plan import PlanConfig, make_unit, plan_units
from storage.records import Person, Span, Unit
from storage.sources import Source

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


SIDE_PX = 256


def photo_bytes(command: int, *, seed: int = 0, side_px: int = SIDE_PX) -> bytes:
    """A PNG whose pixel (0, 0) carries the stubs' command; unlike any other of another seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    big = np.asarray(Image.fromarray(pixels).resize((side_px, side_px), Image.Resampling.NEAREST))
    big = big.copy()
    big[0, 0, 2] = command
    buffer = io.BytesIO()
    Image.fromarray(big).save(buffer, "PNG")
    return buffer.getvalue()


def write_photos(folder: Path, commands: Sequence[int], *, caption: str = "a man runs") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, command in enumerate(commands):
        (folder / f"{i:03}.png").write_bytes(photo_bytes(command, seed=i))
        (folder / f"{i:03}.txt").write_text(caption)


def no_spans(caption: str) -> list[Span]:
    return [Span(start=2, end=5, text=caption[2:5], kind="person")] if len(caption) > 5 else []


def one_unit(source: Source) -> Unit:
    return make_unit(source.records(), salt="test")


def units_of(source: Source, *, size: int) -> list[Unit]:
    return list(plan_units(source.records(), config=PlanConfig(unit_size=size), salt="test"))


def stub_extractor(
    source: Source, root: Place, *, may_kill: bool = False, decode: Decode | None = None
) -> Extractor:
    config = ExtractorConfig(batch_size=4, mask_batch_size=3)
    return Extractor(
        Extraction(source=source, root=Root.of(root), config=config, device="cpu"),
        no_spans,
        pose=StubPose(may_kill=may_kill),
        masks=StubMasks(),
        decode=decode,
    )
