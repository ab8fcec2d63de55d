"""Drawn scenes as a captioned photo folder, and their ground truth in COCO's format.

The folder is what a user would bring: JPEG files with ``.txt`` captions beside them, and, on
request, a few files that are broken in the ways that real collections are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from demo.world.scenes import Scene, render_scene
from storage.records import COCO_KEYPOINTS, COCO_LIMBS, RejectReason

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


def ground_truth(scenes: Sequence[Scene]) -> dict[str, Any]:
    """The scenes' people as a COCO person_keypoints dictionary.

    Image ids are positions in ``scenes``, file names those of ``write_folder``. Segmentations are
    uncompressed run lengths, areas count visible pixels.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(scenes):
        height, width = scene.image.shape[:2]
        images.append(
            {"id": image_id, "file_name": photo_name(image_id), "height": height, "width": width}
        )
        for person in scene.people:
            x0, y0, x1, y1 = person.bbox_xyxy_px
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(person.mask.sum()),
                    "keypoints": [value for point in person.keypoints for value in point],
                    "num_keypoints": sum(v > 0 for _, _, v in person.keypoints),
                    "segmentation": run_lengths(person.mask),
                }
            )
    skeleton = [[a + 1, b + 1] for a, b in COCO_LIMBS]
    category = {"id": 1, "name": "person", "keypoints": [*COCO_KEYPOINTS], "skeleton": skeleton}
    return {"images": images, "annotations": annotations, "categories": [category]}


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """COCO's uncompressed run-length encoding: column-major, zeros first."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [flat.size]])
    counts = np.diff(edges).tolist()
    if flat.size and flat[0]:
        counts = [0, *counts]
    return {"size": [*mask.shape], "counts": counts}
