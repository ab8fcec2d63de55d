"""ICC profiles as photos bring them, made of their published numbers; no file of a vendor's."""

import struct

import numpy as np
from numpy.typing import NDArray

from storage.colour import icc_profile, matrix_profile

D50 = (0.9642, 1.0, 0.8249)
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))  # xy of red, green and blue
ADOBE = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
REC2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_D65 = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

Primaries = tuple[tuple[float, float], ...]


def to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """Linear RGB to XYZ under D65."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, _D65)


def monitor(primaries: Primaries, gamma: float = 2.2) -> bytes:
    """A matrix profile with these primaries under D65, as cameras and screens have them."""
    lms = _BRADFORD @ np.array(D50) / (_BRADFORD @ _D65)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(lms) @ _BRADFORD @ to_xyz(primaries)
    return matrix_profile(adapted.T.tolist(), gamma=gamma)


def seen_in_srgb(
    colour: tuple[int, int, int], primaries: Primaries, gamma: float = 2.2
) -> list[int]:
    """What the colour is in sRGB, by the formulas of IEC 61966-2-1."""
    linear = (np.array(colour) / 255) ** gamma
    srgb = np.linalg.solve(to_xyz(SRGB), to_xyz(primaries) @ linear).clip(0, 1)
    shown = np.where(srgb <= 0.0031308, 12.92 * srgb, 1.055 * srgb ** (1 / 2.4) - 0.055)
    return np.rint(255 * shown).astype(int).tolist()


def grey(gamma: float) -> bytes:
    """A profile of grey pixels with one gamma."""
    white = struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in D50))
    curve = struct.pack(">4sIIHH", b"curv", 0, 1, round(gamma * 256), 0)
    return icc_profile({b"wtpt": white, b"kTRC": curve}, spaces=b"GRAYXYZ ")


def press() -> bytes:
    """A CMYK profile, a table with two steps an ink: paper is grey-blue, inks are far from pure."""
    identity = bytes(range(256))
    grid = b""
    for c in (0, 1):
        for m in (0, 1):
            for y in (0, 1):
                for k in (0, 1):
                    light = 255 - 90 * c - 70 * m - 20 * y - 200 * k
                    a, b = 128 - 30 * c + 60 * m, 120 - 40 * c + 70 * y
                    grid += bytes(max(0, min(255, value)) for value in (light, a, b))
    unit = b"".join(struct.pack(">i", 65536 if i % 4 == 0 else 0) for i in range(9))
    table = struct.pack(">4sIBBBx", b"mft1", 0, 4, 3, 2) + unit
    table += identity * 4 + grid + identity * 3
    assert len(table) % 4 == 0
    white = struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in D50))
    tags = {b"wtpt": white, b"A2B0": table, b"A2B1": table}
    return icc_profile(tags, device=b"prtr", spaces=b"CMYKLab ")


def large(profile: bytes, n_bytes: int) -> bytes:
    """The same profile with so many bytes of a private tag, which nothing can compress."""
    count = struct.unpack(">I", profile[128:132])[0]
    shift = 12
    table = profile[132 : 132 + 12 * count]
    moved = b"".join(
        table[i : i + 4]
        + struct.pack(">II", struct.unpack(">I", table[i + 4 : i + 8])[0] + shift,
                      struct.unpack(">I", table[i + 8 : i + 12])[0])
        for i in range(0, len(table), 12)
    )  # fmt: skip
    noise = b"data" + bytes(4) + np.random.default_rng(0).bytes(n_bytes)
    body = profile[132 + 12 * count :]
    entry = struct.pack(">4sII", b"zzzz", len(profile) + shift, len(noise))
    whole = profile[4:128] + struct.pack(">I", count + 1) + moved + entry + body + noise
    return struct.pack(">I", len(whole) + 4) + whole
