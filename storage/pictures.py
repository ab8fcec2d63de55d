"""Bytes of any picture to upright pixels in sRGB: the one place where pictures are opened.

Pillow's ``Image.open`` is not used: ultralytics replaces it when it is imported (a broken photo
then starts a package installation), it tries formats that no source has, and it has a limit of
pixels of its own beside ours. The plug-ins behind it are called directly.
"""

import io
from typing import Literal

from PIL import Image

from storage.colour import to_srgb
from storage.errors import HcpError, MissingExtraError
from storage.picture_plugins import NAMES, jxl_size, load_plugin, plugin_format
from storage.png_chunks import slim_png

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What is read everywhere; ``storage.picture_plugins`` has those that a plug-in brings."""

PictureFault = Literal["unreadable", "too_large"]

MAX_PIXELS = 64_000_000
"""Of a picture, unless a setting says otherwise (``gate.max_pixels``)."""

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


class PictureError(HcpError, ValueError):
    """Bytes that are no picture, or one that is not to be decoded."""

    def __init__(self, message: str, *, reason: PictureFault = "unreadable") -> None:
        super().__init__(message)
        self.reason: PictureFault = reason


def open_picture(data: bytes, *, max_pixels: int | None = MAX_PIXELS) -> Image.Image:
    """A picture whose header was read, of no more pixels than allowed; none is decoded yet.

    Args:
        data: the file.
        max_pixels: of one setting for all formats; None: a picture of ours, checked when it came.

    Raises:
        PictureError: none of the formats; a plug-in is missing; broken; too large.
    """
    if max_pixels is not None and (Image.MAX_IMAGE_PIXELS or max_pixels) < max_pixels:
        Image.MAX_IMAGE_PIXELS = max_pixels  # some decoders ask Pillow's limit: ours is the one
    try:
        image = _opened(data, max_pixels)
        _check_pixels(image.size, max_pixels)
    except (PictureError, MemoryError):
        raise
    except MissingExtraError as error:
        raise PictureError(str(error)) from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{error} ({max_pixels})", reason="too_large") from error
    except Exception as error:  # hostile bytes make decoders raise anything
        raise PictureError(f"{type(error).__name__}: {error}") from error
    return image


def upright_rgb(image: Image.Image) -> Image.Image:
    """The decoded picture as it is to be seen; the very image where it is upright sRGB already.

    EXIF rotation applied, the first frame of an animation taken, its colour profile converted to
    sRGB, transparency laid on white, 16 bits reduced to 8.
    """
    image.load()
    rgb, turn = to_srgb(image), _TURNS.get(_orientation(image))
    return rgb if turn is None else rgb.transpose(turn)


def stored_photo(jpeg: bytes) -> Image.Image:
    """The photo of a shard, RGB in sRGB, with no limit but that of the gate which let it in.

    Shards hold upright photos; those of earlier versions may still carry another colour profile.

    Raises:
        PictureError: no JPEG.
    """
    try:
        image = _by(("JPEG",), jpeg)
        if image is None:
            raise PictureError(f"{len(jpeg)} bytes are no JPEG")
        image.load()
        return to_srgb(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureError(f"{type(error).__name__}: {error}") from error


def stored_png(data: bytes) -> Image.Image:
    """A mask of ours, opened, with no limit of pixels but its photo's.

    Raises:
        PictureError: no PNG.
        OSError, ValueError, SyntaxError: a broken one.
    """
    image = _by(("PNG",), data)
    if image is None:
        raise PictureError(f"{len(data)} bytes are no PNG")
    return image


def _opened(data: bytes, max_pixels: int | None) -> Image.Image:
    kind = plugin_format(data)
    if kind is not None:
        load_plugin(kind)
        if kind == "JXL":
            _check_pixels(jxl_size(data), max_pixels)
        image = _by((kind,), data)
    else:
        slim = slim_png(data)
        image = _by(FORMATS, slim.data)
        if image is not None and slim.profile is not None:
            image.info["icc_profile"] = slim.profile
    if image is None:
        names = ", ".join((*FORMATS, *NAMES.values()))
        raise PictureError(f"{len(data)} bytes are none of {names}")
    return image


def _by(formats: tuple[str, ...], data: bytes) -> Image.Image | None:
    Image.preinit()
    for name in formats:
        if name not in Image.OPEN:
            Image.init()
        factory, accept = Image.OPEN[name]
        accepted = accept(data[:16]) if accept else True
        if accepted and not isinstance(accepted, str):  # a string says why it cannot be read
            return factory(io.BytesIO(data), "")
    return None


def _check_pixels(size: tuple[int, int], max_pixels: int | None) -> None:
    width, height = size
    if max_pixels is not None and width * height > max_pixels:
        raise PictureError(f"{width}x{height} px, limit {max_pixels} pixels", reason="too_large")


def _orientation(image: Image.Image) -> int:
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1  # its decoder has turned it: what the EXIF block says counts no more
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # broken metadata of any kind: the pixels are good, show them as they are
        return 1
