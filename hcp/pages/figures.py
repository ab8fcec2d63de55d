"""Pictures and curves of the pages: as arrays, and as strings that stand inside one HTML file."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hcp.pose_image import draw_pose, draw_skeleton
from storage.pictures import stored_photo
from storage.records import Person, Sample

Image8 = NDArray[np.uint8]

_HEAT = np.array(  # dark violet over orange to pale yellow, evenly spaced
    [[13, 8, 65], [101, 21, 110], [182, 48, 84], [238, 105, 37], [252, 184, 30], [252, 255, 164]],
    dtype=np.float64,
)
_TINTS = (
    (230, 60, 60), (60, 160, 230), (80, 200, 90), (240, 190, 50), (170, 90, 220),
    (240, 130, 40), (60, 210, 200), (230, 100, 180),
)  # fmt: skip
_TINT_OPACITY = 0.4


def jpeg_uri(image: Image8, *, max_px: int = 320) -> str:
    """A data URI of the picture, shrunk to `max_px` on its longer side."""
    picture = Image.fromarray(image)
    picture.thumbnail((max_px, max_px), Image.Resampling.LANCZOS)
    return _data_uri(picture, "JPEG", quality=88)


def skeleton_uri(people: Sequence[Person], *, size_px: tuple[int, int], min_score: float) -> str:
    """A transparent PNG of the skeletons, to lie over a picture of (width, height) `size_px`."""
    width, height = size_px
    scale = max(1, round(256 / max(size_px)))  # thin lines even over small pictures
    keypoints = [
        [(x * scale, y * scale, c) for x, y, c in person.keypoints]
        for person in people
        if person.score >= min_score
    ]
    drawn = draw_pose(keypoints, width_px=width * scale, height_px=height * scale, line_px=3)
    alpha = (drawn.max(axis=2) > 0).astype(np.uint8) * 255
    return _data_uri(Image.fromarray(np.dstack([drawn, alpha])), "PNG", optimize=True)


def draw_people(image: Image8, sample: Sample) -> Image8:
    """The photo with tinted masks, boxes and skeletons; a copy, HWC uint8 RGB.

    People below the gate get a thin grey box.

    Raises:
        ValueError: image and sample differ in size.
    """
    if image.shape != (sample.height_px, sample.width_px, 3):
        expected = (sample.height_px, sample.width_px, 3)
        raise ValueError(f"image of sample {sample.key} must be {expected}, got {image.shape}")
    blended = image.astype(np.float32)
    for number in range(1, len(sample.people) + 1):
        tint = np.array(_TINTS[(number - 1) % len(_TINTS)], dtype=np.float32)
        inside = sample.mask == number
        blended[inside] = (1 - _TINT_OPACITY) * blended[inside] + _TINT_OPACITY * tint
    canvas = Image.fromarray(np.rint(blended).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    line_px = max(2, round(min(image.shape[:2]) / 160))
    for number, person in enumerate(sample.people):
        left, top, right, bottom = person.bbox_xyxy_px
        box = [min(left, right), min(top, bottom), max(left, right), max(top, bottom)]
        if person.passes_gate:
            draw.rectangle(box, outline=_TINTS[number % len(_TINTS)], width=line_px)
            draw_skeleton(draw, person.keypoints, line_px=line_px)
        else:
            draw.rectangle(box, outline=(150, 150, 150), width=1)
    return np.array(canvas, dtype=np.uint8)


def decode_image(sample: Sample) -> Image8:
    """The sample's photo, HWC uint8 RGB."""
    return np.array(stored_photo(sample.image_jpeg), dtype=np.uint8)


def heat_overlay(
    image: Image8, heat: NDArray[np.float32], *, mask: NDArray[np.bool_] | None = None
) -> Image8:
    """The photo in grey under a heat map; the mask's outline in white.

    Args:
        image: [H, W, 3].
        heat: [h, w], non-negative, of any scale.
        mask: [H, W].
    """
    height, width = image.shape[:2]
    peak = float(heat.max()) or 1.0
    scaled = Image.fromarray((heat / peak).astype(np.float32))
    level = np.asarray(scaled.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
    position = level * (len(_HEAT) - 1)
    low = np.floor(position).astype(int).clip(0, len(_HEAT) - 2)
    part = (position - low)[..., None]
    colour = _HEAT[low] * (1 - part) + _HEAT[low + 1] * part
    grey = image.mean(axis=2, keepdims=True) * 0.75
    opacity = 0.25 + 0.6 * level[..., None]
    blended = (1 - opacity) * grey + opacity * colour
    if mask is not None:
        blended[outline(mask)] = 255
    return np.rint(blended).astype(np.uint8)


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that touch the background, [H, W]."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One small chart: a curve, its moving average, and labelled ticks."""

    title: str
    width: int
    height: int
    raw: str  # "x,y x,y ..." for an SVG polyline
    smooth: str
    last: float  # of the moving average
    y_ticks: tuple[tuple[float, str], ...]  # y in pixels, label
    x_ticks: tuple[tuple[float, str], ...]


SIZE_PX = (380, 190)
MARGIN_PX = (46, 10, 24, 10)  # left, right, bottom, top
_MAX_POINTS = 400


def line_chart(title: str, steps: Sequence[int], values: Sequence[float]) -> Chart:
    """A chart of `values` over `steps`; the smooth line averages over a twentieth of the run.

    Raises:
        ValueError: nothing to draw, or lengths differ.
    """
    if not steps or len(steps) != len(values):
        raise ValueError(f"line_chart needs as many values as steps, got {len(steps)} steps")
    x, raw = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    smooth = _smooth(raw, max(1, len(raw) // 20))
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MAX_POINTS)).astype(int))
    low, high = (float(v) for v in (np.quantile(raw, 0.0), np.quantile(raw, 0.995)))
    pad = (high - low) * 0.06 or max(abs(high), 1e-6) * 0.1
    low, high = low - pad, high + pad
    (width, height), (left, right, bottom, top) = SIZE_PX, MARGIN_PX

    def px(v: float) -> float:
        return left + (v - x[0]) / max(x[-1] - x[0], 1) * (width - left - right)

    def py(v: float) -> float:
        return top + (high - min(v, high)) / (high - low) * (height - top - bottom)

    def points(line: NDArray[np.float64]) -> str:
        return " ".join(f"{px(float(x[i])):.1f},{py(float(line[i])):.1f}" for i in keep)

    return Chart(
        title=title,
        width=width,
        height=height,
        raw=points(raw),
        smooth=points(smooth),
        last=float(smooth[-1]),
        y_ticks=tuple((py(v), f"{v:.3g}") for v in np.linspace(low + pad, high - pad, 4)),
        x_ticks=tuple((px(v), f"{v:.0f}") for v in np.unique([x[0], x[len(x) // 2], x[-1]])),
    )


def _smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    # A trailing mean over up to `window` values.
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _data_uri(picture: Image.Image, kind: str, **options: object) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
