"""PNG files with much text or a large profile: nothing of the picture is lost."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from storage.pictures import open_picture, upright_rgb
from storage.png_chunks import slim_png
from tests.colour_profiles import P3, large, monitor, seen_in_srgb

MIB = 2**20


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def plain() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (200, 100, 50)).save(buffer, "PNG")
    return buffer.getvalue()


def with_chunks(*chunks: bytes, last: bool = False) -> bytes:
    """A PNG with more chunks, behind its header or before its end."""
    data = plain()
    place = data.index(b"IEND") - 4 if last else 33
    return data[:place] + b"".join(chunks) + data[place:]


BOMB = zlib.compress(bytes(200 * MIB))
LARGE_TEXTS = {
    "zTXt": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * (3 * MIB))),
    "zTXt-bomb": chunk(b"zTXt", b"Comment\0\0" + BOMB),
    "iTXt": chunk(b"iTXt", b"XML\0\1\0de\0key\0" + zlib.compress(b"y" * (3 * MIB))),
    "iTXt-plain": chunk(b"iTXt", b"parameters\0\0\0\0\0" + b"z" * (3 * MIB)),
    "tEXt": chunk(b"tEXt", b"workflow\0" + b"w" * (3 * MIB)),
    "iCCP-bomb": chunk(b"iCCP", b"name\0\0" + BOMB),
}


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", LARGE_TEXTS)
def test_large_text_is_no_reason_to_reject(name: str, last: bool) -> None:
    """Kind: large text chunks (Pillow 8363), also behind the pixels."""
    image = upright_rgb(open_picture(with_chunks(LARGE_TEXTS[name], last=last)))
    assert image.getpixel((0, 0)) == (200, 100, 50)


def test_many_texts_that_are_large_together_are_none_either() -> None:
    each = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * (MIB - 9)))
    image = open_picture(with_chunks(*[each] * 80))
    assert image.size == (20, 10)


@pytest.mark.parametrize("n_bytes", [0, 2 * MIB, 4 * MIB])
def test_a_large_profile_is_kept_and_converted(n_bytes: int) -> None:
    """Kind: legitimate profiles of some MiB."""
    profile = large(monitor(P3), n_bytes) if n_bytes else monitor(P3)
    data = with_chunks(chunk(b"iCCP", b"display\0\0" + zlib.compress(profile)))
    shown = upright_rgb(open_picture(data)).getpixel((0, 0))
    np.testing.assert_allclose(shown, seen_in_srgb((200, 100, 50), P3), atol=2)


def test_small_texts_stay_where_they_are() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a woman runs", zip=True)
    info.add_itxt("XML:com.adobe.xmp", "<x tiff:Orientation='6'/>")
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "PNG", pnginfo=info)
    data = buffer.getvalue()
    assert slim_png(data).data is data


def test_what_is_no_whole_png_goes_through() -> None:
    whole = with_chunks(LARGE_TEXTS["tEXt"])
    for data in (b"", b"\x89PNG\r\n\x1a\n", plain()[:40], b"no picture", whole[:MIB]):
        assert slim_png(data).data == data
    for body in (b"", b"\0", b"name\0\0no zlib", b"name"):
        for kind in (b"iCCP", b"zTXt", b"iTXt", b"tEXt"):
            assert slim_png(with_chunks(chunk(kind, body))).profile is None
