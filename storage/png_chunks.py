"""PNG files without the text and profiles that Pillow is too careful to read.

Pillow refuses a whole PNG whose text or colour profile inflates to more than a mebibyte. What is
that large is taken out of the file before Pillow sees it; a profile is kept beside it.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE_BYTES = 64 * 2**20  # of a profile inflated: real ones reach some 4 MiB

_MAX_TEXT_BYTES = 2**20  # Pillow's own limit of one chunk, inflated
_MAX_ALL_TEXT_BYTES = 32 * 2**20  # half of its limit of all of them
_MAX_FORMER_CHUNKS = 100_000  # a file of more is left to Pillow as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class SlimPng:
    """A PNG that Pillow opens, and the profile that it had where that was taken out."""

    data: bytes
    profile: bytes | None = None


def slim_png(data: bytes) -> SlimPng:
    """The file without the chunks that are too large; the very bytes where there are none.

    What is no PNG, or a broken one, goes through as it is: to say so is the decoder's part.
    """
    cuts: list[tuple[int, int]] = []
    profile, total = None, 0
    for start, end, kind in _chunks(data):
        if kind not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            continue
        body = data[start + 8 : end - 4]
        text = _inflated(kind, body, limit=MAX_PROFILE_BYTES if kind == b"iCCP" else None)
        if kind == b"iCCP":
            if len(text) > _MAX_TEXT_BYTES:
                cuts.append((start, end))
                profile = text if len(text) <= MAX_PROFILE_BYTES else None
            continue
        total += len(text)
        if len(text) > _MAX_TEXT_BYTES or total > _MAX_ALL_TEXT_BYTES:
            total -= len(text)
            cuts.append((start, end))
    return SlimPng(data=_without(data, cuts), profile=profile)


def _chunks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and kind of the chunks that are whole."""
    place = len(SIGNATURE)
    if data[:place] != SIGNATURE:
        return
    for _ in range(_MAX_FORMER_CHUNKS):
        size = int.from_bytes(data[place : place + 4], "big")
        end = place + 12 + size
        if len(data) < end:
            return
        yield place, end, data[place + 4 : place + 8]
        place = end


def _inflated(kind: bytes, body: bytes, *, limit: int | None) -> bytes:
    """A chunk's text or profile, cut behind the limit; empty where it cannot be inflated."""
    if kind == b"tEXt":
        return body
    _, _, rest = body.partition(b"\0")  # the keyword
    method, packed = rest[:1], rest[1:]
    if kind == b"iTXt":
        is_packed, packed = method, packed[1:]  # a flag stands before the method
        _, _, packed = packed.partition(b"\0")  # the language
        _, _, packed = packed.partition(b"\0")  # the keyword in it
        if is_packed != b"\1":
            return packed
    try:
        return zlib.decompressobj().decompress(packed, (limit or _MAX_TEXT_BYTES) + 1)
    except zlib.error:
        return b""


def _without(data: bytes, cuts: list[tuple[int, int]]) -> bytes:
    if not cuts:
        return data
    starts = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(data)]
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))
