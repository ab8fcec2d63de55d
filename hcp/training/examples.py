"""From a sample of the dataset to a training example: crop, flip, pixels, keypoints, masks.

Pure functions of a sample and an explicit random generator. Keypoints and masks always go through
the same crop, resize and flip as the pixels; the flip is an augmentation only, swaps the left and
right keypoints and the caption's words for them, and is left out where it would make them false.

Dimension legend: P people, H W the crop's height and width in pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hcp.tokens.mirror import mirrored_caption
from hcp.training.config import DataConfig
from hcp.training.encoded import EncodedExample
from storage.pictures import stored_photo
from storage.records import COCO_FLIP, Box, Person, Sample

PixelBox = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One augmented photo; keypoints and masks in pixels of the crop."""

    key: str
    caption: str  # "" where it was dropped
    pixels: NDArray[np.uint8]  # [3, H, W]; hcp.training.denoising.as_inputs makes [-1, 1] of them
    keypoints: NDArray[np.float32]  # [P, 17, 3]: x_px, y_px, confidence (0 outside the crop)
    mask: NDArray[np.uint8]  # [H, W]; 0 background, i = row i - 1 of `keypoints`
    source_px: tuple[int, int]  # height and width of the photo
    crop_px: tuple[int, int]  # top and left of the crop, in pixels of the resized photo
    encoded: EncodedExample | None = None  # from a cache, where pixels are [0, H, W]


def nearest_aspect(width_px: int, height_px: int, aspects: Sequence[float]) -> float:
    """The bucket whose aspect loses the least of the photo, compared on a log scale."""
    return min(aspects, key=lambda aspect: abs(np.log(width_px / height_px / aspect)))


def crop_box(
    size_px: tuple[int, int],
    people: Sequence[Box],
    *,
    aspect: float,
    min_scale: float,
    rng: np.random.Generator,
) -> PixelBox:
    """A crop of the given aspect (width / height) that keeps the people in where they fit.

    Along each axis the crop is placed uniformly among the places that contain the people's common
    box, or, where that is longer than the crop, among those inside it. A crop that so came to lie
    between people who stand far apart is moved to the nearest of them.
    """
    width, height = size_px
    crop_w = min(width, height * aspect)
    scale = rng.uniform(min_scale, 1.0)
    crop_w, crop_h = crop_w * scale, crop_w / aspect * scale
    boxes = np.asarray(people or [(0.0, 0.0, width, height)], dtype=np.float64)
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    left = _place(crop_w, width, span=(low[0], high[0]), rng=rng)
    top = _place(crop_h, height, span=(low[1], high[1]), rng=rng)
    left, top = _to_someone((left, top), (crop_w, crop_h), boxes.clip(0, (width, height) * 2))
    left, top = min(left, width - crop_w), min(top, height - crop_h)
    return left, top, left + crop_w, top + crop_h


def _to_someone(
    corner: tuple[float, float], crop: tuple[float, float], boxes: NDArray[np.float64]
) -> tuple[float, float]:
    """The corner, or the nearest one of a crop with someone's middle in it."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    if ((middles >= corner) & (middles <= np.add(corner, crop))).all(axis=1).any():
        return corner
    low, high = boxes[:, :2], boxes[:, 2:] - crop  # of the corners that hold them, each way round
    corners = np.clip(corner, np.minimum(low, high), np.maximum(low, high))
    nearest = np.abs(corners - corner).sum(axis=1).argmin()
    left, top = corners[nearest].clip(0)
    return float(left), float(top)


def _place(
    length: float, size: float, *, span: tuple[float, float], rng: np.random.Generator
) -> float:
    start, end = max(span[0], 0.0), min(span[1], size)
    first, last = sorted((start, end - length))
    return float(np.clip(rng.uniform(first, last), 0.0, size - length))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What chance decides about an example."""

    size_px: tuple[int, int]  # width and height of the bucket
    box: PixelBox
    flip: bool
    caption: str  # "" where it is dropped


def choose(
    sample: Sample, config: DataConfig, *, aspect: float, rng: np.random.Generator
) -> Choice:
    """Decide about an example; the same generator state gives the same choice.

    A flip changes the caption with the photo (``hcp.tokens.mirror``), or is not done.
    """
    size_px = config.bucket_px(aspect)
    box = crop_box(
        (sample.width_px, sample.height_px),
        [person.bbox_xyxy_px for person in passing(sample.people)],
        aspect=size_px[0] / size_px[1],
        min_scale=config.min_crop_scale,
        rng=rng,
    )
    flip, drop = rng.random(2) < (config.flip_probability, config.caption_dropout)
    caption = mirrored_caption(sample.caption) if flip else sample.caption
    if caption is None:
        flip, caption = False, sample.caption
    return Choice(size_px=size_px, box=box, flip=bool(flip), caption="" if drop else caption)


class PreparedSample(Sample, ABC):
    """A sample that makes its examples itself: that of a cache."""

    __slots__ = ()

    @abstractmethod
    def example(self, *, config: DataConfig, aspect: float, rng: np.random.Generator) -> Example:
        """As ``make_example``."""


def make_example(
    sample: Sample, *, config: DataConfig, aspect: float = 1.0, rng: np.random.Generator
) -> Example:
    """Crop, resize and maybe flip one sample; the same generator state gives the same example.

    Only people who passed the gate count as priors: the others have no mask.
    """
    if isinstance(sample, PreparedSample):
        return sample.example(config=config, aspect=aspect, rng=rng)
    choice = choose(sample, config, aspect=aspect, rng=rng)
    box, size_px = choice.box, choice.size_px
    photo = stored_photo(sample.image_jpeg)
    cropped = photo.resize(size_px, Image.Resampling.LANCZOS, box=box)
    # Cut first: who is who matters in the crop alone.
    mask = relabel(
        crop_mask(sample.mask, box=box, size_px=size_px, flip=choice.flip), passing_places(sample)
    )
    keypoints = crop_keypoints(passing(sample.people), box=box, size_px=size_px)
    if choice.flip:
        cropped = cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        keypoints = flip_keypoints(keypoints, size_px[0])
    return Example(
        key=sample.key,
        caption=choice.caption,
        pixels=np.asarray(cropped).transpose(2, 0, 1),
        keypoints=keypoints,
        mask=mask,
        source_px=(sample.height_px, sample.width_px),
        crop_px=crop_place(box, width_px=sample.width_px, size_px=size_px, flip=choice.flip),
    )


def crop_place(
    box: PixelBox, *, width_px: int, size_px: tuple[int, int], flip: bool
) -> tuple[int, int]:
    """Top and left of a crop, in pixels of the photo as it was resized (and mirrored) for it."""
    scale = size_px[0] / (box[2] - box[0])
    left = width_px - box[2] if flip else box[0]
    return round(box[1] * scale), round(left * scale)


def passing(people: Sequence[Person]) -> list[Person]:
    """The people who passed the gate."""
    return [person for person in people if person.passes_gate]


def passing_mask(sample: Sample) -> NDArray[np.uint8]:
    """The sample's mask of the people who passed the gate, numbered 1.. in their order."""
    return relabel(sample.mask, passing_places(sample))


def passing_places(sample: Sample) -> list[int]:
    """Where in ``people`` those stand who passed the gate."""
    return [i for i, each in enumerate(sample.people) if each.passes_gate]


def relabel(mask: NDArray[np.uint8], indices: Sequence[int]) -> NDArray[np.uint8]:
    """Keep the people at `indices` (0-based), numbered 1.. in that order; no one else."""
    if list(indices) == list(range(int(mask.max(initial=0)))):
        return mask
    table = np.zeros(256, dtype=np.uint8)
    for new, old in enumerate(indices, start=1):
        table[old + 1] = new
    return table[mask]


def crop_mask(
    mask: NDArray[np.uint8], *, box: PixelBox, size_px: tuple[int, int], flip: bool = False
) -> NDArray[np.uint8]:
    """The mask of the crop, [H, W], nearest neighbour, maybe mirrored."""
    cropped = Image.fromarray(mask).resize(size_px, Image.Resampling.NEAREST, box=box)
    return np.asarray(cropped.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else cropped)


def crop_keypoints(
    people: Sequence[Person], *, box: PixelBox, size_px: tuple[int, int]
) -> NDArray[np.float32]:
    """Keypoints [P, 17, 3] in pixels of the crop; those outside it get confidence 0."""
    points = np.array([p.keypoints for p in people], dtype=np.float64).reshape(-1, 17, 3)
    scale = np.array(size_px) / (box[2] - box[0], box[3] - box[1])
    xy = (points[..., :2] - box[:2]) * scale
    inside = ((xy >= 0) & (xy < size_px)).all(axis=-1)
    confidence = np.where(inside, points[..., 2], 0.0)
    return np.concatenate([xy, confidence[..., None]], axis=-1).astype(np.float32)


def flip_keypoints(keypoints: NDArray[np.float32], width_px: int) -> NDArray[np.float32]:
    """Mirror [P, 17, 3] keypoints, left becoming right.

    Coordinates are continuous (a pixel's centre is at index + 0.5), so x -> width - x.
    """
    flipped = keypoints[:, list(COCO_FLIP)].copy()
    flipped[..., 0] = width_px - flipped[..., 0]
    return flipped
