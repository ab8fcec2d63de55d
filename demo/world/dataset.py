"""Drawn scenes as a captioned photo folder.

The folder is what a user would bring: JPEG files with ``.txt`` captions beside them, and, on
request, a few files that are broken in the ways that real collections are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.world.scenes import render_scene
from storage.records import RejectReason

JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFolder:
    """What ``write_folder`` wrote."""

    root: Path
    seeds: Mapping[str, int]  # sound photos: file name -> seed of its scene
    defects: Mapping[str, RejectReason] = field(default_factory=dict[str, RejectReason])


def photo_name(index: int) -> str:
    """File name of the index-th photo."""
    return f"drawn-{index:06d}.jpg"


def jpeg_bytes(image: NDArray[np.uint8]) -> bytes:
    """The picture as the JPEG file that the folder holds."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def write_folder(
    root: Path, *, n: int, seed: int = 0, defects: bool = False, size_px: int = 256
) -> DrawnFolder:
    """Write n drawn photos (scenes seed, seed + 1, ...) with sidecar captions below root.

    With ``defects``, four more files that extraction must turn away, named after what is wrong.
    The same arguments always write the same bytes.

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError(f"write_folder: n must be >= 1, got {n}")
    root.mkdir(parents=True, exist_ok=True)
    seeds: dict[str, int] = {}
    for i in range(n):
        scene = render_scene(seed + i, size_px=size_px)
        seeds[photo_name(i)] = seed + i
        _write_photo(root / photo_name(i), jpeg_bytes(scene.image), scene.caption)
    wrong = _write_defects(root, seed=seed + n, size_px=size_px) if defects else {}
    return DrawnFolder(root=root, seeds=seeds, defects=wrong)


def _write_photo(path: Path, content: bytes, caption: str | None) -> None:
    path.write_bytes(content)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption + "\n", encoding="utf-8")


def _write_defects(root: Path, *, seed: int, size_px: int) -> dict[str, RejectReason]:
    """Four broken photos, each with the reason that extraction gives."""
    scene = render_scene(seed, size_px=size_px, people=1)
    sound = jpeg_bytes(scene.image)
    small = jpeg_bytes(render_scene(seed, size_px=96, people=1).image)
    html = b"<html><body>404 Not Found</body></html>\n"
    _write_photo(root / "defect-truncated.jpg", sound[: len(sound) // 3], scene.caption)
    _write_photo(root / "defect-not-an-image.jpg", html, scene.caption)
    _write_photo(root / "defect-no-caption.jpg", sound, None)
    _write_photo(root / "defect-too-small.jpg", small, scene.caption)
    return {
        "defect-truncated.jpg": "unreadable",
        "defect-not-an-image.jpg": "unreadable",
        "defect-no-caption.jpg": "no_caption",
        "defect-too-small.jpg": "too_small",
    }
