"""AVIF, HEIC and JPEG XL: recognised by their first bytes, read where a plug-in is installed.

A plug-in is loaded with the first such picture; a process that meets none loads none.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Literal

from PIL import Image

from storage.errors import MissingExtraError
from storage.extras import install_command

PluginFormat = Literal["AVIF", "HEIF", "JXL"]
NAMES: dict[PluginFormat, str] = {"AVIF": "AVIF", "HEIF": "HEIC", "JXL": "JPEG XL"}

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_JXL_STREAM, _JXL_BOXES = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"


def plugin_format(data: bytes) -> PluginFormat | None:
    """Which of these formats the bytes are, by their beginning."""
    if data.startswith((_JXL_STREAM, _JXL_BOXES)):
        return "JXL"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:  # first: AVIF files name mif1 too
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def load_plugin(kind: PluginFormat) -> None:
    """Have Pillow know the format.

    Raises:
        MissingExtraError: no plug-in for it is installed; the message says which to install.
    """
    if _is_known(kind):
        return
    try:
        _LOADERS[kind]()
    except ImportError as error:
        library, command = _LIBRARIES[kind]
        raise MissingExtraError(
            f"a picture in {NAMES[kind]}, which nothing installed here reads; "
            f"{command} brings it, then hcp retry-failed reads it",
            name=library,
        ) from error


def jxl_size(data: bytes) -> tuple[int, int]:
    """Width and height that a JPEG XL claims: its plug-in decodes before it tells them.

    The size header of ISO/IEC 18181-1, Annex D.

    Raises:
        ValueError: no header where one belongs.
    """
    stream = data if data.startswith(_JXL_STREAM) else _jxl_stream(data)
    if not stream.startswith(_JXL_STREAM):
        raise ValueError("a JPEG XL file without a picture")
    bits = _Bits(stream[2:18])
    small = bits.take(1)
    height = _jxl_side(bits, small)
    ratio = bits.take(3)
    if ratio == 0:
        return _jxl_side(bits, small), height
    over, under = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * over // under, height


def _brands(data: bytes) -> frozenset[bytes]:
    size = int.from_bytes(data[:4], "big")
    if data[4:8] != b"ftyp" or not 16 <= size <= 4096:
        return frozenset()
    return frozenset({data[8:12], *(data[i : i + 4] for i in range(16, min(size, len(data)), 4))})


def _is_known(kind: PluginFormat) -> bool:
    Image.init()
    if kind not in Image.OPEN:
        return False
    accept = Image.OPEN[kind][1]  # Pillow's own AVIF answers with a text where it was built without
    return accept is None or not isinstance(accept(b"\0\0\0\x1cftypavif\0\0\0\0"), str)


def _load_avif() -> None:
    import_module("pillow_avif")  # Pillow itself reads AVIF from 11.3 on


def _load_heif() -> None:
    try:
        plugin = import_module("pillow_heif")  # the same library with an encoder under the GPL
    except ImportError:
        import pi_heif as plugin  # pyright: ignore[reportMissingImports]
    plugin.register_heif_opener()


def _load_jxl() -> None:
    import_module("pillow_jxl")  # registers itself


_LOADERS: dict[PluginFormat, Callable[[], None]] = {
    "AVIF": _load_avif,
    "HEIF": _load_heif,
    "JXL": _load_jxl,
}
_LIBRARIES: dict[PluginFormat, tuple[str, str]] = {
    "AVIF": ("PIL", "pip install 'pillow>=11.3'"),
    "HEIF": ("pi_heif", install_command("pi_heif")),
    "JXL": ("pillow_jxl", install_command("pillow_jxl")),
}  # what reads them, and what brings that


class _Bits:
    """Numbers from bytes, the lowest bit first."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("a JPEG XL file that ends in its header")
        value, self._value = self._value & ((1 << count) - 1), self._value >> count
        self._left -= count
        return value


def _jxl_side(bits: _Bits, small: int) -> int:
    if small:
        return 8 * (bits.take(5) + 1)
    return 1 + bits.take((9, 13, 18, 30)[bits.take(2)])


def _jxl_stream(data: bytes) -> bytes:
    """The beginning of the code stream in a file of boxes."""
    place = 0
    while len(data) >= place + 8:
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        head = 8
        if size == 1:  # 64 bits of size follow
            size, head = int.from_bytes(data[place + 8 : place + 16], "big"), 16
        if kind in (b"jxlc", b"jxlp"):
            start = place + head + (4 if kind == b"jxlp" else 0)  # parts are numbered
            return data[start : start + 32]
        if size < head:  # 0: to the end of the file
            break
        place += size
    return b""
