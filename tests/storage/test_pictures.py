"""Pictures of every format, with one limit of pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from storage.errors import HcpError
from storage.pictures import PictureError, open_picture, stored_photo, stored_png, upright_rgb
from tests.colour_profiles import P3, monitor, seen_in_srgb

COLOUR = (200, 100, 50)


def encoded(kind: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, COLOUR).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_one_limit_of_pixels_holds_in_every_format(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kind: limits of pixels; Pillow's own is neither a second one nor in the way of ours."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = encoded(kind, (90, 50))
    with pytest.raises(PictureError, match="90x50 px, limit 4499 pixels") as caught:
        open_picture(data, max_pixels=4499)
    assert caught.value.reason == "too_large"
    assert upright_rgb(open_picture(data, max_pixels=4500)).size == (90, 50)


def test_what_a_gate_let_in_has_no_further_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert stored_photo(encoded("JPEG")).size == (40, 30)
    assert stored_png(encoded("PNG")).size == (40, 30)
    for read, wrong in ((stored_photo, encoded("PNG")), (stored_png, encoded("JPEG"))):
        with pytest.raises(HcpError, match=r"are no (JPEG|PNG)"):
            read(wrong)
    with pytest.raises(PictureError):
        stored_photo(encoded("JPEG")[:-40])


def test_photos_of_earlier_shards_are_seen_in_srgb() -> None:
    """Shards from before colours were converted hold the source's own JPEG with its profile."""
    shown = stored_photo(encoded("JPEG", icc_profile=monitor(P3), quality=100))
    np.testing.assert_allclose(shown.getpixel((5, 5)), seen_in_srgb(COLOUR, P3), atol=4)
    kept = stored_photo(encoded("JPEG"))
    assert (kept.mode, kept.format) == ("RGB", "JPEG")
    assert stored_photo(encoded("JPEG")).size == (40, 30)
