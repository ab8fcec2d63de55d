"""Bytes of a photo to upright sRGB pixels, or the reason why not."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from priors.gate import GateConfig, Refusal
from storage.extras import explained_imports
from storage.pictures import PictureError, open_picture, upright_rgb

with explained_imports():
    import imagehash

JPEG_QUALITY = 95  # of photos that cannot be kept as they are

_MAX_COMMENT_BYTES = 65_533  # of a JPEG; a GIF may bring a longer one

# Pillow warns about odd metadata; under `-W error` that would reject photos which it reads well.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedPhoto:
    """A photo that can be shown to the models and written to a shard."""

    rgb: NDArray[np.uint8]  # [H, W, 3], upright, sRGB
    jpeg: bytes  # the source's own bytes where they are an upright sRGB JPEG already
    sha256: str  # of the source's bytes
    phash: str  # 16 hex digits


class Decode(Protocol):
    """``decode_photo``, or what stands in for it."""

    def __call__(self, data: bytes, *, gate: GateConfig) -> DecodedPhoto | Refusal: ...


def decode_photo(data: bytes, *, gate: GateConfig | None = None) -> DecodedPhoto | Refusal:
    """Decode one photo; never raises for its content.

    EXIF rotation is applied, the first frame of an animation taken, a colour profile converted to
    sRGB, transparency laid on white, 16 bits reduced to 8.
    """
    gate = gate or GateConfig()
    try:
        image = open_picture(data, max_pixels=gate.max_pixels)
        return _check_shape(image.size, gate) or _decode(image, data)
    except PictureError as error:
        option = " (gate.max_pixels)" if error.reason == "too_large" else ""
        return Refusal(reason=error.reason, detail=f"{error}{option}")
    except Exception as error:  # hostile bytes make decoders raise anything: the photo's fault
        return Refusal(reason="unreadable", detail=f"{type(error).__name__}: {error}")


def _check_shape(size: tuple[int, int], gate: GateConfig) -> Refusal | None:
    shape = f"{size[0]}x{size[1]} px"
    if min(size) < gate.min_side_px:
        return Refusal(
            reason="too_small", detail=f"{shape}, shortest side allowed {gate.min_side_px} px"
        )
    if max(size) > gate.max_aspect * min(size):
        return Refusal(reason="aspect_ratio", detail=f"{shape}, ratio allowed {gate.max_aspect:g}")
    return None


def _decode(image: Image.Image, data: bytes) -> DecodedPhoto:
    rgb = upright_rgb(image)
    keep = image.format == "JPEG" and rgb is image
    return DecodedPhoto(
        rgb=np.array(rgb, dtype=np.uint8),
        jpeg=data if keep else encode_jpeg(rgb),
        sha256=hashlib.sha256(data).hexdigest(),
        phash=str(imagehash.phash(rgb)),
    )


def encode_jpeg(image: Image.Image) -> bytes:
    """An RGB image as JPEG without metadata but a short comment."""
    buffer = io.BytesIO()
    longer = len(image.info.get("comment") or b"") > _MAX_COMMENT_BYTES
    without = {"comment": b""} if longer else {}
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0, **without)
    return buffer.getvalue()
