"""Bytes of a photo to upright RGB pixels, or the reason why not.

Pillow's ``Image.open`` is not used: ultralytics replaces it when it is imported (a broken photo
then starts a package installation), it tries formats that no source has, and it warns or raises on
large photos before we can say ``too_large``. The plug-ins behind it are called directly.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from priors.gate import GateConfig, Refusal
from storage.extras import explained_imports

with explained_imports():
    import imagehash

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
JPEG_QUALITY = 95  # of photos that cannot be kept as they are

_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF orientation; Pillow's exif_transpose also rewrites the EXIF block and fails on odd ones

# Pillow warns about odd metadata; under `-W error` that would reject photos which it reads well.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedPhoto:
    """A photo that can be shown to the models and written to a shard."""

    rgb: NDArray[np.uint8]  # [H, W, 3], upright
    jpeg: bytes  # the source's own bytes where they are an upright RGB JPEG already
    sha256: str  # of the source's bytes
    phash: str  # 16 hex digits


class Decode(Protocol):
    """``decode_photo``, or what stands in for it."""

    def __call__(self, data: bytes, *, gate: GateConfig) -> DecodedPhoto | Refusal: ...


def decode_photo(data: bytes, *, gate: GateConfig | None = None) -> DecodedPhoto | Refusal:
    """Decode one photo; never raises for its content.

    The header's size is checked before any pixel is decoded. EXIF rotation is applied, the first
    frame of an animation taken, transparency laid on white, 16 bits reduced to 8.
    """
    try:
        image = _open(data)
        if image is None:
            return Refusal(
                reason="unreadable", detail=f"{len(data)} bytes are none of {', '.join(FORMATS)}"
            )
        failure = _check_size(image.size, gate or GateConfig())
        return failure or _decode(image, data)
    except Exception as error:  # hostile bytes make decoders raise anything: the photo's fault
        return Refusal(reason="unreadable", detail=f"{type(error).__name__}: {error}")


def _open(data: bytes) -> Image.Image | None:
    Image.preinit()
    for name in FORMATS:
        if name not in Image.OPEN:
            Image.init()
        factory, accept = Image.OPEN[name]
        accepted = accept(data[:16]) if accept else True
        if accepted and not isinstance(accepted, str):  # a string says why it cannot be read
            return factory(io.BytesIO(data), "")
    return None


def _check_size(size: tuple[int, int], gate: GateConfig) -> Refusal | None:
    width, height = size
    shape = f"{width}x{height} px"
    if width * height > gate.max_pixels:
        return Refusal(reason="too_large", detail=f"{shape}, limit {gate.max_pixels} pixels")
    if min(size) < gate.min_side_px:
        return Refusal(
            reason="too_small", detail=f"{shape}, shortest side allowed {gate.min_side_px} px"
        )
    if max(size) > gate.max_aspect * min(size):
        return Refusal(reason="aspect_ratio", detail=f"{shape}, ratio allowed {gate.max_aspect:g}")
    return None


def _decode(image: Image.Image, data: bytes) -> DecodedPhoto:
    image.load()
    turn = _TURNS.get(_orientation(image))
    rgb = _to_rgb(image if turn is None else image.transpose(turn))
    keep = image.format == "JPEG" and image.mode == "RGB" and turn is None
    return DecodedPhoto(
        rgb=np.array(rgb, dtype=np.uint8),
        jpeg=data if keep else encode_jpeg(rgb),
        sha256=hashlib.sha256(data).hexdigest(),
        phash=str(imagehash.phash(rgb)),
    )


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # broken metadata of any kind: the pixels are good, show them as they are
        return 1


def encode_jpeg(image: Image.Image) -> bytes:
    """An RGB image as JPEG without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 bits in 16 or 32; Pillow's own conversion clips at 255
        return Image.fromarray(_high_byte(np.asarray(image))).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _high_byte(values: NDArray[Any]) -> NDArray[np.uint8]:
    return (values.astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
