"""Decoding: every kind of photo that a source may hold, and the reasons for those that fail."""

import io
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from priors.decode import DecodedPhoto, decode_photo
from priors.gate import GateConfig, Refusal
from tests.colour_profiles import (
    ADOBE,
    P3,
    REC2020,
    Primaries,
    large,
    monitor,
    seen_in_srgb,
)

ROOT = Path(__file__).parents[2]


def gradient(width: int = 320, height: int = 260) -> Image.Image:
    """Red grows to the right, green downwards: orientation can be read off."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 40)], axis=2).astype(np.uint8))


def textured() -> Image.Image:
    """Blotches: what a perceptual hash can hold on to, and what does not compress to nothing."""
    blotches = np.random.default_rng(7).integers(0, 256, size=(9, 9, 3), dtype=np.uint8)
    smooth = Image.fromarray(blotches).resize((320, 260), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(8).integers(0, 9, size=(260, 320, 3))
    return Image.fromarray((np.asarray(smooth) // 2 + noise).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> DecodedPhoto:
    photo = decode_photo(data)
    assert isinstance(photo, DecodedPhoto), photo
    assert photo.rgb.ndim == 3
    assert photo.rgb.shape[2] == 3
    assert photo.rgb.dtype == np.uint8
    with Image.open(io.BytesIO(photo.jpeg)) as shown:
        assert shown.format == "JPEG"
        assert shown.mode == "RGB"
        assert shown.size == (photo.rgb.shape[1], photo.rgb.shape[0])
    return photo


def png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def test_an_upright_rgb_jpeg_keeps_its_bytes() -> None:
    for options in ({"quality": 70}, {"quality": 80, "progressive": True}):
        data = encoded(gradient(), "JPEG", **options)
        assert decoded(data).jpeg is data


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_exif_rotation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(gradient(), "JPEG", exif=exif, quality=95)
    photo = decoded(data)
    with Image.open(io.BytesIO(data)) as image:
        from PIL import ImageOps

        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(photo.rgb, expected)
    assert photo.jpeg != data
    with Image.open(io.BytesIO(photo.jpeg)) as shown:
        assert shown.getexif().get(0x0112, 1) == 1
        assert np.abs(np.asarray(shown).astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("kind", "convert", "tolerance"),
    [
        ("PNG", lambda im: im, 0),
        ("PNG", lambda im: im.convert("P"), 60),
        ("PNG", lambda im: im.convert("L"), None),
        ("PNG", lambda im: im.convert("1"), None),
        ("GIF", lambda im: im, 60),
        ("BMP", lambda im: im, 0),
        ("TIFF", lambda im: im, 0),
        ("WEBP", lambda im: im, 30),
        ("JPEG", lambda im: im.convert("CMYK"), 30),
        ("JPEG", lambda im: im.convert("L"), None),
    ],
)
def test_formats_and_modes(
    kind: str, convert: Callable[[Image.Image], Image.Image], tolerance: int | None
) -> None:
    photo = decoded(encoded(convert(gradient()), kind))
    assert photo.rgb.shape == (260, 320, 3)
    if tolerance is not None:
        assert np.abs(photo.rgb.astype(int) - np.asarray(gradient())).max() <= tolerance


def test_16_bit_greys_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 300, dtype=np.uint16)[None].repeat(260, axis=0)
    photo = decoded(encoded(Image.fromarray(ramp), "PNG"))
    assert np.abs(photo.rgb[0, :, 0].astype(int) - np.linspace(0, 255, 300)).max() <= 1


def test_transparency_is_laid_on_white() -> None:
    clear = gradient().convert("RGBA")
    clear.putalpha(0)
    assert (decoded(encoded(clear, "PNG")).rgb == 255).all()


def test_the_first_frame_of_an_animation_is_taken() -> None:
    black, white = Image.new("RGB", (300, 300)), Image.new("RGB", (300, 300), "white")
    data = encoded(black, "GIF", save_all=True, append_images=[white])
    assert (decoded(data).rgb == 0).all()


@pytest.mark.parametrize("primaries", [P3, ADOBE, REC2020])
def test_a_jpeg_in_other_colours_is_written_anew_in_srgb(primaries: Primaries) -> None:
    """Kind: colour profiles (sd-scripts 2179): what is stored needs no profile any more."""
    colour = (200, 100, 50)
    data = encoded(Image.new("RGB", (300, 300), colour), "JPEG", icc_profile=monitor(primaries))
    photo = decoded(data)
    expected = seen_in_srgb(colour, primaries)
    with Image.open(io.BytesIO(photo.jpeg)) as stored:
        assert "icc_profile" not in stored.info
        np.testing.assert_allclose(stored.getpixel((9, 9)), expected, atol=6)
    np.testing.assert_allclose(photo.rgb[9, 9], expected, atol=6)


def test_a_jpeg_that_says_it_is_srgb_keeps_its_bytes() -> None:
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, large(own, 2 << 20), b"no profile"):
        data = encoded(gradient(), "JPEG", icc_profile=profile)
        assert decoded(data).jpeg is data


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_large_profiles_are_no_reason_to_reject(kind: str) -> None:
    """Kind: legitimate profiles of 2 MiB (Pillow 8363)."""
    profile = large(monitor(ADOBE), 2 << 20)
    data = encoded(Image.new("RGB", (300, 300), (200, 100, 50)), kind, icc_profile=profile)
    np.testing.assert_allclose(decoded(data).rgb[9, 9], seen_in_srgb((200, 100, 50), ADOBE), atol=6)


def test_a_comment_too_long_for_a_jpeg_is_left_out() -> None:
    """Kind: long texts in other formats: a photo must not fail when it is written anew."""
    data = encoded(gradient().convert("P"), "GIF", comment=b"x" * 200_000)
    assert len(decoded(data).jpeg) < 200_000


def broken() -> dict[str, bytes]:
    jpeg = encoded(gradient(), "JPEG")
    return {
        "empty": b"",
        "text": b"this is a text file, whatever its name says",
        "html": b"<html>404 not found</html>" * 50,
        "truncated jpeg": jpeg[: len(jpeg) // 2],
        "only a jpeg header": jpeg[:20],
        "truncated png": encoded(textured(), "PNG")[:40_000],
        "truncated webp": encoded(textured(), "WEBP")[:3000],
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 300 300\n",
        "zeros": bytes(5000),
    }


@pytest.mark.parametrize("name", list(broken()))
def test_broken_files_are_unreadable(name: str) -> None:
    failure = decode_photo(broken()[name])
    assert isinstance(failure, Refusal)
    assert failure.reason == "unreadable"
    assert failure.detail


def test_hostile_bytes_never_raise() -> None:
    rng = np.random.default_rng(0)
    for data in (
        encoded(gradient(), "JPEG"),
        encoded(gradient(), "PNG"),
        encoded(gradient(), "TIFF"),
    ):
        for _ in range(40):
            bytes_ = bytearray(data)
            for place in rng.integers(0, min(len(bytes_), 600), size=8):
                bytes_[place] = rng.integers(0, 256)
            assert isinstance(decode_photo(bytes(bytes_)), DecodedPhoto | Refusal)


@pytest.mark.parametrize("size", [(8001, 8000), (20_000, 20_000), (200_000, 100_000)])
def test_a_bomb_is_refused_by_its_header_without_a_warning(size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failure = decode_photo(png_header(*size))
    assert isinstance(failure, Refusal)
    assert failure.reason == "too_large"
    assert f"{size[0]}x{size[1]}" in failure.detail


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((255, 600), "too_small"),
        ((256, 256), None),
        ((1025, 256), "aspect_ratio"),
        ((1024, 256), None),
    ],
)
def test_size_limits_are_inclusive(size: tuple[int, int], reason: str | None) -> None:
    outcome = decode_photo(encoded(Image.new("RGB", size), "PNG"))
    assert getattr(outcome, "reason", None) == reason


def test_size_limits_can_be_set() -> None:
    outcome = decode_photo(encoded(gradient(64, 64), "PNG"), gate=GateConfig(min_side_px=64))
    assert isinstance(outcome, DecodedPhoto)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_the_limit_of_pixels_is_the_gates_in_every_format(kind: str) -> None:
    """Kind: limits of pixels."""
    data = encoded(gradient(), kind)
    refused = decode_photo(data, gate=GateConfig(max_pixels=320 * 260 - 1))
    assert isinstance(refused, Refusal)
    assert refused.reason == "too_large"
    assert "320x260 px, limit 83199 pixels (gate.max_pixels)" in refused.detail
    assert isinstance(decode_photo(data, gate=GateConfig(max_pixels=320 * 260)), DecodedPhoto)


def test_hashes_follow_from_the_content() -> None:
    data = encoded(textured(), "PNG")
    first, again = decoded(data), decoded(data)
    smaller = decoded(encoded(textured().resize((300, 280)), "JPEG"))
    assert first.sha256 == again.sha256
    assert len(first.sha256) == 64
    assert first.jpeg == again.jpeg
    assert len(first.phash) == 16
    assert bin(int(first.phash, 16) ^ int(smaller.phash, 16)).count("1") <= 8
    assert smaller.sha256 != first.sha256


@pytest.mark.slow
def test_ultralytics_cannot_get_into_the_decoder() -> None:
    """A bare import of ultralytics patches Image.open; a broken file must still be 'unreadable'."""
    code = (
        "import os; os.environ.update(YOLO_OFFLINE='true', YOLO_AUTOINSTALL='false')\n"
        "from PIL import Image\n"
        "before = Image.open\n"
        "import ultralytics.utils.patches\n"
        "assert Image.open is not before, 'the patch this test is about is gone'\n"
        "from priors.decode import decode_photo\n"
        "failure = decode_photo(b'no image at all')\n"
        "assert failure.reason == 'unreadable', failure\n"
        "assert 'heif' not in failure.detail.lower(), failure\n"
        "from priors.yolo import import_ultralytics\n"
        "import_ultralytics()\n"
        "assert Image.open is before\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
