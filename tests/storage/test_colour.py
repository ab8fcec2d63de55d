"""Colour profiles: whatever a photo carries, its colours end in sRGB."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from storage.colour import SAME_COLOUR, adobe_rgb, profile_of, to_srgb
from tests.colour_profiles import (
    ADOBE,
    P3,
    REC2020,
    SRGB,
    Primaries,
    grey,
    large,
    monitor,
    press,
    seen_in_srgb,
)

COLOURS = ((200, 100, 50), (10, 200, 30), (40, 40, 40), (250, 240, 230), (0, 0, 0), (255, 255, 255))


def filled(mode: str, colour: object, profile: bytes | None = None) -> Image.Image:
    image = Image.new(mode, (4, 3), colour)  # type: ignore[arg-type]
    if profile is not None:
        image.info["icc_profile"] = profile
    return image


@pytest.mark.parametrize(
    ("primaries", "gamma"),
    [(P3, 2.2), (ADOBE, 563 / 256), (REC2020, 2.2), (SRGB, 1.8)],
    ids=["display-p3", "adobe-rgb", "rec2020", "another-gamma"],
)
@pytest.mark.parametrize("kept", [0, 3 << 20], ids=["small", "large"])
def test_rgb_profiles_are_converted_by_their_numbers(
    primaries: Primaries, gamma: float, kept: int
) -> None:
    """Kind: colour profiles of RGB photos (sd-scripts 2179)."""
    profile = monitor(primaries, gamma)
    profile = large(profile, kept) if kept else profile
    for colour in COLOURS:
        shown = to_srgb(filled("RGB", colour, profile)).getpixel((0, 0))
        expected = seen_in_srgb(colour, primaries, gamma)
        np.testing.assert_allclose(shown, expected, atol=2)


def test_what_is_srgb_under_any_name_stays_the_very_image() -> None:
    """Kind: profiles that change nothing worth a re-encoding."""
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (None, own, large(own, 2 << 20)):
        image = filled("RGB", COLOURS[0], profile)
        assert to_srgb(image) is image
    assert np.abs(np.subtract(seen_in_srgb(COLOURS[0], P3), COLOURS[0])).max() > SAME_COLOUR


def test_grey_cmyk_and_lab_photos_are_converted_by_theirs() -> None:
    """Kind: profiles of other pixels than RGB."""
    level = round(255 * (1.055 * (100 / 255) ** (1.8 / 2.4) - 0.055))
    for mode, colour in (("L", 100), ("LA", (100, 255))):
        shown = to_srgb(filled(mode, colour, grey(1.8))).getpixel((0, 0))
        np.testing.assert_allclose(shown, (level,) * 3, atol=1)
    cyan = (255, 0, 0, 0)
    naive = to_srgb(filled("CMYK", cyan)).getpixel((0, 0))
    printed = to_srgb(filled("CMYK", cyan, press())).getpixel((0, 0))
    assert naive == (0, 255, 255)
    assert isinstance(printed, tuple)
    assert printed[1] < 200 < printed[2]
    assert to_srgb(filled("CMYK", (0, 0, 0, 0), press())).getpixel((0, 0)) == (255, 255, 255)
    np.testing.assert_allclose(
        to_srgb(filled("LAB", (128, 128, 128))).getpixel((0, 0)), 119, atol=1
    )


def test_transparency_and_palettes_go_through_the_profile() -> None:
    profile, colour = monitor(ADOBE), (200, 100, 50)
    expected = seen_in_srgb(colour, ADOBE)
    solid = to_srgb(filled("RGBA", (*colour, 255), profile))
    half = to_srgb(filled("RGBA", (*colour, 128), profile))
    palette = filled("RGB", colour).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["icc_profile"] = profile
    np.testing.assert_allclose(solid.getpixel((0, 0)), expected, atol=2)
    np.testing.assert_allclose(to_srgb(palette).getpixel((0, 0)), expected, atol=2)
    mixed = [(value + 255) / 2 for value in expected]
    np.testing.assert_allclose(half.getpixel((0, 0)), mixed, atol=2)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"no profile"),
        ("RGB", monitor(P3)[:200]),
        ("RGB", grey(1.8)),
        ("RGB", press()),
        ("L", monitor(P3)),
        ("CMYK", monitor(P3)),
        ("RGB", b""),
    ],
)
def test_a_profile_that_is_broken_or_of_other_pixels_changes_nothing(
    mode: str, profile: bytes
) -> None:
    with_it, without = filled(mode, 90, profile), filled(mode, 90)
    assert to_srgb(with_it).tobytes() == to_srgb(without).tobytes()


def jpeg(**exif: object) -> Image.Image:
    """A photo as cameras write it, with tags of its Exif and interoperability blocks."""
    block = Image.Exif()
    camera = block.get_ifd(0x8769)
    if "index" in exif:
        camera[0xA005] = {1: exif["index"]}
    if "space" in exif:
        camera[0xA001] = exif["space"]
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 100, 50)).save(buffer, "JPEG", exif=block, quality=100)
    return Image.open(buffer)


def test_cameras_name_adobe_rgb_in_the_exif_block_alone() -> None:
    """Kind: Adobe RGB by DCF (interoperability index R03), without a profile."""
    assert profile_of(jpeg(index="R03")) == adobe_rgb()
    assert profile_of(jpeg(space=2)) == adobe_rgb()
    assert profile_of(jpeg(index="R98", space=1)) is None
    assert profile_of(jpeg(space=0xFFFF)) is None
    shown = to_srgb(jpeg(index="R03")).getpixel((0, 0))
    np.testing.assert_allclose(shown, seen_in_srgb((200, 100, 50), ADOBE, 563 / 256), atol=6)
