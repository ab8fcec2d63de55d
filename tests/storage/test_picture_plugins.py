"""AVIF, HEIC and JPEG XL: known by their first bytes, read where a plug-in is installed."""

import io
import struct
import sys
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image, features

from storage.picture_plugins import jxl_size, plugin_format
from storage.pictures import PictureError, open_picture, upright_rgb
from tests.colour_profiles import P3, monitor, seen_in_srgb

COLOUR = (200, 100, 50)
WIDE_JXL = bytes.fromhex("ff0a") + (1 | 31 << 1 | 0 << 6 | 31 << 9).to_bytes(8, "little")
"""A header of 256 x 256 px, and nothing behind it."""


def encoded(kind: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, COLOUR).save(buffer, kind, **options)
    return buffer.getvalue()


def ftyp(major: bytes, *others: bytes) -> bytes:
    body = b"ftyp" + major + bytes(4) + b"".join(others)
    return struct.pack(">I", len(body) + 4) + body + bytes(100)


def jxl_in_boxes(stream: bytes) -> bytes:
    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body) + 8) + kind + body

    signature = box(b"JXL ", b"\r\n\x87\n")
    return signature + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlp", bytes(4) + stream)


FILES: Mapping[str, tuple[bytes, str | None]] = {
    "avif": (ftyp(b"avif", b"mif1"), "AVIF"),
    "avif-as-mif1": (ftyp(b"mif1", b"avif", b"miaf"), "AVIF"),
    "avif-sequence": (ftyp(b"avis", b"msf1"), "AVIF"),
    "iphone": (ftyp(b"heic", b"mif1"), "HEIF"),
    "heif": (ftyp(b"mif1", b"heic"), "HEIF"),
    "burst": (ftyp(b"msf1", b"hevc"), "HEIF"),
    "film": (ftyp(b"isom", b"mp41"), None),
    "jxl": (WIDE_JXL, "JXL"),
    "jxl-in-boxes": (jxl_in_boxes(WIDE_JXL), "JXL"),
    "jpeg": (encoded("JPEG"), None),
    "short": (b"\0\0\0\x18ftyp", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("name", FILES)
def test_a_format_is_known_by_its_first_bytes(name: str) -> None:
    data, kind = FILES[name]
    assert plugin_format(data) == kind


@pytest.mark.parametrize(
    ("name", "library", "said"),
    [
        ("iphone", "pi_heif", r"in HEIC, .*hcp\[heif\]"),
        ("heif", "pi_heif", r"in HEIC, .*hcp\[heif\]"),
        ("jxl", "pillow_jxl", r"in JPEG XL, .*hcp\[jxl\]"),
        ("jxl-in-boxes", "pillow_jxl", r"in JPEG XL, .*hcp\[jxl\]"),
    ],
)
def test_a_format_without_its_plug_in_says_what_to_install(
    name: str, library: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kind: formats that only a plug-in reads."""
    kind = FILES[name][1]
    Image.init()
    monkeypatch.delitem(Image.OPEN, kind, raising=False)
    for each in (library, "pillow_heif"):
        monkeypatch.setitem(sys.modules, each, None)
    with pytest.raises(PictureError, match=said + ".*hcp retry-failed") as caught:
        open_picture(FILES[name][0])
    assert caught.value.reason == "unreadable"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_with_its_profile() -> None:
    data = encoded("AVIF", icc_profile=monitor(P3), quality=100, subsampling="4:4:4")
    shown = upright_rgb(open_picture(data)).getpixel((5, 5))
    np.testing.assert_allclose(shown, seen_in_srgb(COLOUR, P3), atol=6)


@pytest.mark.parametrize(
    ("library", "kind", "expected"),
    [("pillow_heif", "HEIF", seen_in_srgb(COLOUR, P3)), ("pillow_jxl", "JXL", COLOUR)],
)
def test_formats_of_installed_plug_ins_are_read(
    library: str, kind: str, expected: list[int]
) -> None:
    """JPEG XL's plug-in writes no profile."""
    plugin = pytest.importorskip(library)
    if kind == "HEIF":
        plugin.register_heif_opener()
    data = encoded(kind, icc_profile=monitor(P3), quality=95)
    shown = upright_rgb(open_picture(data))
    assert shown.size == (40, 30)
    np.testing.assert_allclose(shown.getpixel((5, 5)), expected, atol=6)
    with pytest.raises(PictureError, match="40x30 px, limit 1000 pixels"):
        open_picture(data, max_pixels=1000)


def test_the_size_of_a_jpeg_xl_is_read_before_its_plug_in_decodes_it() -> None:
    assert jxl_size(WIDE_JXL) == (256, 256)
    assert jxl_size(jxl_in_boxes(WIDE_JXL)) == (256, 256)
    bits = 0 | 3 << 1 | (99_999 << 3) | 1 << 33  # 30 bits of height, as wide as high
    assert jxl_size(b"\xff\x0a" + bits.to_bytes(8, "little")) == (100_000, 100_000)
    for broken in (b"\xff\x0a", jxl_in_boxes(b""), b"\0\0\0\x0cJXL \r\n\x87\n"):
        with pytest.raises(ValueError, match="JPEG XL"):
            jxl_size(broken)
