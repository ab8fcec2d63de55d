"""Extraction on real photos: pose AP against the bare model, mask IoU, rejects, speed.

Runs the whole path (source, plan, extractor, shards) over the COCO photos of the assets and scores
what is in the shards with pycocotools. The yardstick is `ultralytics.YOLO(...).predict` with the
same weights on the same photos.

    python -m benchmarks.bench_real_photos [--quick]
"""

import contextlib
import io
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from benchmarks.output import ASSETS, finish, options
from demo.train.scoring import coco_keypoint_ap
from hcp.tokens import human_spans
from priors.config import Extraction, ExtractorConfig
from priors.extract import Extractor, run_units_inline
from priors.gate import GateConfig
from priors.planning import config_digest
from priors.yolo import import_ultralytics
from storage.layout import Root
from storage.plan import PlanConfig, plan_units
from storage.records import Sample
from storage.shard_reader import iter_samples
from storage.sources import resolve_source

UNIT_SIZE = 40
LARGE_AREA_PX = 96 * 96
MATCH_IOU = 0.5
TARGETS = {"ap_difference": 0.01, "mask_iou": 0.80}


def main() -> None:
    given = options(__doc__, "real_photos").parse_args()
    if given.quick and not (ASSETS / "index.json").is_file():
        print(f"left out: no photos in {ASSETS}")
        return
    with tempfile.TemporaryDirectory() as folder:
        result = run(Root(folder))
    finish(given, result, table(result))


def run(root: Root) -> dict[str, Any]:
    config = ExtractorConfig(
        pose_model=str(ASSETS / "weights" / "yolo11n-pose.pt"),
        mask_model=str(ASSETS / "weights" / "yolo11n-seg.pt"),
    )
    source = resolve_source(str(ASSETS / "captions.json"), format="coco")
    salt = config_digest(config, GateConfig())
    units = list(plan_units(source.records(), config=PlanConfig(unit_size=UNIT_SIZE), salt=salt))
    start = perf_counter()
    extractor = Extractor(Extraction(source=source, root=root, config=config), human_spans)
    load_s = perf_counter() - start
    report = run_units_inline(units, make_extractor=lambda: extractor, on_report=lambda _: None)
    samples = [s for unit in units for s in iter_samples(root, unit.fingerprint)]
    keypoints = load_coco(ASSETS / "person_keypoints.json")
    scored = {s.uri: s for s in samples if image_id(s) in annotated(keypoints)}
    start = perf_counter()
    bare = bare_detections(list(scored.values()))
    bare_s = perf_counter() - start
    ours = [row for s in scored.values() for row in shard_detections(s)]
    ids = sorted(image_id(s) for s in scored.values())
    pose_ap, bare_ap = (coco_keypoint_ap(keypoints, rows, ids) for rows in (ours, bare))
    return {
        "records": sum(len(u.records) for u in units),
        "units": len(units),
        "samples": report.n_samples,
        "rejects": report.n_rejects,
        "rejects_by_reason": dict(sorted(report.rejects_by_reason.items())),
        "pose": {
            "photos": len(ids),
            "ap_shards": round(pose_ap, 4),
            "ap_bare_model": round(bare_ap, 4),
            "difference": round(pose_ap - bare_ap, 4),
        },
        "masks": mask_quality(load_coco(ASSETS / "instances.json"), samples),
        "mended": dict(report.mended),
        "speed": {
            "images_per_s": report.images_per_s,
            "seconds": report.seconds,
            "load_seconds": round(load_s, 2),
            "busy_fraction": report.busy_fraction,
            "stage_seconds": dict(report.stage_seconds),
            "bare_pose_model_images_per_s": round(len(ids) / bare_s, 2),
        },
        "targets": TARGETS,
    }


def load_coco(path: Path) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        return COCO(str(path))


def image_id(sample: Sample) -> int:
    return int(Path(sample.uri).stem.split("_")[-1])


def annotated(coco: Any) -> set[int]:
    """Photos with at least one person whose keypoints are labelled."""
    return {a["image_id"] for a in coco.anns.values() if a.get("num_keypoints", 0) > 0}


def shard_detections(sample: Sample) -> Iterable[dict[str, Any]]:
    for person in sample.people:
        flat = [value for point in person.keypoints for value in point]
        yield _row(image_id(sample), flat, person.score)


def bare_detections(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    model: Any = import_ultralytics().YOLO(ASSETS / "weights" / "yolo11n-pose.pt")
    rows: list[dict[str, Any]] = []
    for sample in samples:
        with Image.open(io.BytesIO(sample.image_jpeg)) as image:
            bgr = np.asarray(image.convert("RGB"))[..., ::-1]
        found = model.predict(bgr, imgsz=640, rect=False, conf=0.25, verbose=False)[0]
        points = found.keypoints.data.numpy().reshape(-1, 51)
        for flat, score in zip(points, found.boxes.conf.numpy(), strict=True):
            rows.append(_row(image_id(sample), flat.tolist(), float(score)))
    return rows


def _row(image: int, keypoints: Sequence[float], score: float) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "keypoints": list(keypoints), "score": score}


def mask_quality(coco: Any, samples: Sequence[Sample]) -> dict[str, Any]:
    """IoU of the shards' indexed masks with the ground truth of large people, one to one."""
    matched: list[float] = []
    n_large = 0
    for sample in samples:
        ids = coco.getAnnIds(imgIds=[image_id(sample)], catIds=[1], iscrowd=False)
        truths = [coco.annToMask(a) > 0 for a in coco.loadAnns(ids) if a["area"] > LARGE_AREA_PX]
        n_large += len(truths)
        found = [
            sample.mask == i + 1 for i, person in enumerate(sample.people) if person.mask_area_px
        ]
        matched.extend(best_pairs(truths, found))
    return {
        "large_people": n_large,
        "matched": len(matched),
        "matched_fraction": round(len(matched) / max(n_large, 1), 4),
        "mean_iou": round(float(np.mean(matched)), 4) if matched else 0.0,
    }


def best_pairs(
    truths: Sequence[NDArray[np.bool_]], found: Sequence[NDArray[np.bool_]]
) -> list[float]:
    """IoUs above ``MATCH_IOU``, best pairs first, every mask used once."""
    iou = np.array([[(t & f).sum() / max((t | f).sum(), 1) for f in found] for t in truths])
    pairs: list[float] = []
    while iou.size and iou.max() > MATCH_IOU:
        row, column = np.unravel_index(iou.argmax(), iou.shape)
        pairs.append(float(iou[row, column]))
        iou[row, :] = iou[:, column] = 0
    return pairs


def table(result: dict[str, Any]) -> list[tuple[str, object, str]]:
    pose, masks, speed = result["pose"], result["masks"], result["speed"]
    matched = f"{masks['mean_iou']:.4f} of {masks['matched']}/{masks['large_people']}"
    return [
        ("samples + rejects", f"{result['samples']} + {result['rejects']}",
         f"= {result['records']}"),
        ("pose AP, shards", f"{pose['ap_shards']:.4f} on {pose['photos']} photos",
         f"{pose['ap_bare_model']:.4f} bare, within {TARGETS['ap_difference']}"),
        ("mean mask IoU", matched, f">= {TARGETS['mask_iou']}"),
        ("masks mended", result["mended"].get("masks_mended", 0), "small holes, far specks"),
        ("images/s", speed["images_per_s"],
         f"{speed['bare_pose_model_images_per_s']:.2f} bare pose only"),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
