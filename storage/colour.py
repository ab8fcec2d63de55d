"""Colours of any picture to sRGB, by the profile that the picture carries.

A picture without a profile is sRGB already, as browsers take it; one whose profile cannot be read
or belongs to another kind of pixels is taken so, too.
"""

import io
import logging
import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

logger = logging.getLogger(__name__)

SAME_COLOUR = 3
"""Of 255. Profiles that change no colour by more are sRGB under another name, and change nothing:
the photo's own bytes are kept."""

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}  # by Pillow's modes
_DEVICES = ("scnr", "mntr", "prtr", "spac")  # links and effects describe no picture's colours
_FLAGS = ImageCms.Flags.NOCACHE | ImageCms.Flags.BLACKPOINTCOMPENSATION  # no cache: many threads
_D50 = (0.9642, 1.0, 0.8249)  # XYZ of white in the connection space
_EXIF_IFD, _INTEROP_IFD = 0x8769, 0xA005
_COLOR_SPACE, _INTEROP_INDEX = 0xA001, 0x0001


def to_srgb(image: Image.Image) -> Image.Image:
    """An opaque RGB image in sRGB: the very image where it is that already.

    Transparency is laid on white, 16 bits are reduced to 8. Colours are converted relative to
    white, with black point compensation, as photo editors do by default.

    Raises:
        ValueError: pixels without a defined range of colours.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    clear = image.has_transparency_data
    if image.mode == "RGB" and not clear:
        return _converted(image, profile_of(image))
    rgb = _converted(_opaque(image), profile_of(image))
    if not clear:
        return rgb
    rgba = rgb.convert("RGBA")
    rgba.putalpha(image.convert("RGBA").getchannel("A"))
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def profile_of(image: Image.Image) -> bytes | None:
    """The ICC profile of a picture; cameras may name Adobe RGB in the EXIF block alone."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return profile
    return adobe_rgb() if _says_adobe_rgb(image) else None


def _opaque(image: Image.Image) -> Image.Image:
    """The image in one of the modes that profiles speak of, without its transparency."""
    if image.mode.startswith("I"):  # 16 bits in 16 or 32; Pillow's own conversion clips at 255
        return Image.fromarray(_high_byte(np.asarray(image)))
    if image.mode in ("L", "LA", "La", "1"):
        return image.convert("L")
    if image.mode in ("CMYK", "LAB"):
        return image
    if image.mode != "RGB" and image.has_transparency_data:
        return image.convert("RGBA").convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _converted(image: Image.Image, profile: bytes | None) -> Image.Image:
    transform = _transform(profile, image.mode)
    if transform is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    return _apply(transform, image)


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = Image.new("RGB", image.size)
    transform.apply(image, converted)
    converted.info.pop("icc_profile", None)
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What takes pixels of this mode to sRGB; None where they are that already."""
    if profile is None and mode != "LAB":
        return None
    try:
        given = _opened(profile)
        facts: Any = given.profile
        space, device = str(facts.xcolor_space), str(facts.device_class)
        if space.strip() != _SPACES.get(mode) or device not in _DEVICES:
            logger.debug("a profile of %s is not for %s pixels", space, mode)
            return None
        transform = ImageCms.ImageCmsTransform(
            given, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")), mode, "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=_FLAGS,
        )  # fmt: skip
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as error:
        logger.debug("a colour profile of %d bytes cannot be read: %s", len(profile or b""), error)
        return None
    if mode != "RGB":
        return transform
    difference = np.asarray(_apply(transform, _probe()), dtype=int) - np.asarray(_probe())
    return transform if np.abs(difference).max() > SAME_COLOUR else None


def _opened(profile: bytes | None) -> ImageCms.ImageCmsProfile:
    if profile is None:
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


@lru_cache(maxsize=1)
def _probe() -> Image.Image:
    """Colours of the whole cube, greys among them."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(9, 81, 3)
    return Image.fromarray(cube)


def _high_byte(values: NDArray[Any]) -> NDArray[np.uint8]:
    return (values.astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)


def _says_adobe_rgb(image: Image.Image) -> bool:
    """Whether the EXIF block says it: interoperability index R03 (DCF 2.0), or colour space 2."""
    if image.mode != "RGB" or not image.info.get("exif"):
        return False
    try:
        exif = image.getexif()
        index = str(exif.get_ifd(_INTEROP_IFD).get(_INTEROP_INDEX, ""))
        return index.startswith("R03") or exif.get_ifd(_EXIF_IFD).get(_COLOR_SPACE) == 2
    except Exception:  # broken metadata of any kind: the pixels are good, show them as they are
        return False


@lru_cache(maxsize=1)
def adobe_rgb() -> bytes:
    """Adobe RGB (1998), as its specification gives it: colorants under D50, gamma 563/256."""
    colorants = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087),
                 (0.14919, 0.06322, 0.74457))  # fmt: skip
    return matrix_profile(colorants, gamma=563 / 256)


def matrix_profile(colorants: Sequence[Sequence[float]], *, gamma: float) -> bytes:
    """An ICC profile (version 2) of a monitor: XYZ of red, green and blue under D50, one gamma."""
    curve = struct.pack(">4sIIHH", b"curv", 0, 1, round(gamma * 256), 0)
    tags = {b"wtpt": _xyz(_D50)}
    for name, colorant in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags |= {name + b"XYZ": _xyz(colorant), name + b"TRC": curve}
    return icc_profile(tags)


def icc_profile(
    tags: Mapping[bytes, bytes], *, device: bytes = b"mntr", spaces: bytes = b"RGB XYZ "
) -> bytes:
    """A profile of these tags (ICC.1:2001-04), each of a multiple of four bytes.

    Args:
        spaces: of the pixels and of the connection, four letters each.
    """
    place, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content
    header = struct.pack(
        ">I4sI4s8s12x4s28x3i48x", place + len(body), b"", 0x02100000, device, spaces, b"acsp",
        *(_fixed(value) for value in _D50),
    )  # fmt: skip
    return header + table + body


def _xyz(values: Sequence[float]) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(_fixed(value) for value in values))


def _fixed(value: float) -> int:
    return round(value * 65536)
