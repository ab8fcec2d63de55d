"""Extraction speed: against a bare loop over the same model, and against what a user would write.

1. One extractor against a bare loop over photos that are decoded already, the model with the same
   threads in both: a stub of 20 ms an image, and yolo11n-pose with real photos (``HCP_ASSETS``). On
   a CPU the real model has all cores but one, since decoding needs one; what it is when the model
   takes all cores is measured beside it.
2. Two stub actors on Ray against one.
3. The whole path against the loop that a user would write (``YOLO.predict`` for each photo, then
   ``SamPredictor.set_image``, then ``TarWriter``), on photos that pass the gate, and on a set where
   half have no people.

    python -m benchmarks.bench_extraction [--quick]
"""

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from segment_anything import SamPredictor
from webdataset.writer import TarWriter

from benchmarks.output import ASSETS, finish, options
from benchmarks.stub_models import (
    MakeStub,
    SleepPose,
    no_masks,
    run_on,
    started,
    units_of,
    write_photos,
)
from demo.embedded import SAM_DIR
from flows.ray_session import ray_session
from hcp.tokens import human_spans
from priors.config import Extraction, ExtractorConfig
from priors.decode import DecodedPhoto, decode_photo
from priors.extract import Extractor, run_units_inline
from priors.models import load_pose
from priors.pose import PoseModel
from priors.sam import SamConfig, build_sam, load_sam, save_sam
from priors.yolo import import_ultralytics
from storage.layout import Root
from storage.shard_reader import iter_samples, read_rejects
from storage.sources import Source, resolve_source

SECONDS = 0.02
BATCH = 8


def main() -> None:
    given = options(__doc__, "extraction").parse_args()
    n_stub = 64 if given.quick else 1500
    n_real = 12 if given.quick else 24
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_photos(place / "stub", [f"{i:06}" for i in range(n_stub)], side_px=320)
        stub = resolve_source(str(place / "stub"), format="folder")
        result: dict[str, Any] = {
            "stub": efficiency(stub, place / "stub-data", SleepPose(seconds=SECONDS)),
            "ray": two_actors(place, stub),
        }
        if (ASSETS / "index.json").is_file():
            masks = SAM_DIR if given.quick else random_sam(place / "sam")
            result |= real(place, masks, n_real)
    finish(given, result, rows(result))


def rows(result: dict[str, Any]) -> list[tuple[str, object, str]]:
    found: list[tuple[str, object, str]] = [
        ("stub: share of the bare loop", result["stub"]["efficiency"], ">= 0.95"),
        ("two stub actors against one", result["ray"]["speed_up"], ">= 1.9"),
    ]
    if "yolo" in result:
        found += [
            ("yolo11n-pose: share of the bare loop", result["yolo"]["efficiency"], ">= 0.95"),
            ("the same, model on all cores", result["yolo_all_cores"]["efficiency"], ""),
            ("against a user's loop, all pass", result["all_pass"]["speed_up"], ">= 1.0"),
            ("against a user's loop, half empty", result["half_empty"]["speed_up"], ">= 1.7"),
        ]
    return found


def efficiency(source: Source, root: Path, pose: PoseModel) -> dict[str, float]:
    """Images/s of a bare loop over a model and of one extractor, in turns, the best of three."""
    units = units_of(source, unit_size=100)
    images = [p.rgb for p in decoded(source)]
    config = ExtractorConfig(batch_size=BATCH, mask_batch_size=BATCH)
    ours = bare = float("inf")
    for attempt in range(3):
        start = perf_counter()
        for first in range(0, len(images), BATCH):
            pose(images[first : first + BATCH])
        bare = min(bare, perf_counter() - start)
        extractor = Extractor(
            Extraction(source=source, root=Root(f"{root}-{attempt}"), config=config, device="cpu"),
            lambda _: [],
            pose=pose,
            masks=no_masks,
        )
        start = perf_counter()
        run_units_inline(units, make_extractor=lambda e=extractor: e, on_report=lambda _: None)
        ours = min(ours, perf_counter() - start)
    return {
        "photos": len(images),
        "bare_images_per_s": round(len(images) / bare, 2),
        "images_per_s": round(len(images) / ours, 2),
        "efficiency": round(bare / ours, 4),
    }


def decoded(source: Source) -> list[DecodedPhoto]:
    found = (decode_photo(data) for _, data in source.read(list(source.records()))
             if isinstance(data, bytes))  # fmt: skip
    return [photo for photo in found if isinstance(photo, DecodedPhoto)]


def two_actors(place: Path, source: Source) -> dict[str, float]:
    units = units_of(source, unit_size=50)
    n = sum(len(unit.records) for unit in units)
    speeds: dict[int, float] = {}
    with ray_session("local"):
        for actors in (1, 2):
            log = place / f"log-{actors}"
            make = MakeStub(
                source=source, root=Root.of(place / f"ray-{actors}"), log=log, seconds=SECONDS
            )
            run_on(actors, units, make)
            end = time()
            # from the moment when all actors are there: loading models is no steady state
            first = sorted(moment for moment, _ in started(log))[min(2 * actors, len(units)) - 1]
            speeds[actors] = n / (end - first)
    return {
        "one_images_per_s": round(speeds[1], 2),
        "two_images_per_s": round(speeds[2], 2),
        "speed_up": round(speeds[2] / speeds[1], 3),
    }


def random_sam(folder: Path) -> Path:
    """ViT-B for inputs of 512 px: how long it takes does not depend on its weights."""
    config = SamConfig(image_size=512)
    save_sam(build_sam(config), folder, config=config)
    return folder


def real(place: Path, masks: Path, n: int) -> dict[str, Any]:
    config = ExtractorConfig(
        pose_model=str(ASSETS / "weights" / "yolo11n-pose.pt"),
        mask_model=str(masks),
        batch_size=BATCH,
        mask_batch_size=BATCH,
    )
    passing, empty = sorted_photos(place, config)
    every = copied(place / "every", [*passing, *empty])
    passing, empty = passing[:n], empty[:n]
    all_pass = copied(place / "all-pass", passing)
    half = copied(place / "half-empty", [*passing[: len(empty)], *empty[: len(passing)]])
    pose = load_pose(config.pose, device="cpu")
    all_cores = efficiency(every, place / "yolo-data", pose)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads - 1, 1))
    one_left = efficiency(every, place / "yolo-one-left-data", pose)
    torch.set_num_threads(threads)
    return {
        "yolo": one_left | {"model_threads": max(threads - 1, 1)},
        "yolo_all_cores": all_cores | {"model_threads": threads},
        "all_pass": against_user(all_pass, place / "all-pass-data", config),
        "half_empty": against_user(half, place / "half-empty-data", config),
    }


def sorted_photos(place: Path, config: ExtractorConfig) -> tuple[list[Path], list[Path]]:
    """The photos that pass the gate, and those where it finds nobody."""
    photos = sorted((ASSETS / "photos").glob("*.jpg"))
    source = copied(place / "sorting", photos)
    root = Root.of(place / "sorting-data")
    extraction = Extraction(source=source, root=root, config=config, device="cpu")
    extractor = Extractor(extraction, human_spans, masks=no_masks)
    units = units_of(source, unit_size=100)
    run_units_inline(units, make_extractor=lambda: extractor, on_report=lambda _: None)
    good = {s.uri for unit in units for s in iter_samples(root, unit.fingerprint)}
    rejects = [r for unit in units for r in read_rejects(root, unit.fingerprint)]
    nobody = {r.uri for r in rejects if r.reason == "no_person"}
    return (
        [photo for photo in photos if photo.name in good],
        [photo for photo in photos if photo.name in nobody],
    )


def copied(folder: Path, photos: Sequence[Path]) -> Source:
    folder.mkdir()
    for path in photos:
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / path.name).with_suffix(".txt").write_text("a person in a photo")
    return resolve_source(str(folder), format="folder")


def against_user(source: Source, root: Path, config: ExtractorConfig) -> dict[str, float]:
    units = units_of(source, unit_size=100)
    extraction = Extraction(source=source, root=Root.of(root), config=config, device="cpu")
    extractor = Extractor(extraction, human_spans)
    user = user_loop(config)
    n = sum(len(unit.records) for unit in units)
    start = perf_counter()
    user(Path(source.root), root.with_suffix(".tar"))
    user_s = perf_counter() - start
    start = perf_counter()
    run_units_inline(units, make_extractor=lambda: extractor, on_report=lambda _: None)
    ours_s = perf_counter() - start
    return {
        "photos": n,
        "user_images_per_s": round(n / user_s, 3),
        "images_per_s": round(n / ours_s, 3),
        "speed_up": round(user_s / ours_s, 3),
    }


def user_loop(config: ExtractorConfig) -> Callable[[Path, Path], None]:
    """What a user would write: every photo by itself, masks for every photo."""
    model: Any = import_ultralytics().YOLO(config.pose_model)
    predictor = SamPredictor(load_sam(Path(config.mask_model)))

    def run(folder: Path, out: Path) -> None:
        with TarWriter(str(out)) as sink:
            for path in sorted(folder.glob("*.jpg")):
                rgb = np.array(Image.open(path).convert("RGB"), dtype=np.uint8)
                found = model.predict(rgb[..., ::-1], imgsz=640, conf=0.25, verbose=False)[0]
                predictor.set_image(rgb)
                mask = draw(predictor, found.boxes.xyxy.numpy(), rgb.shape[:2])
                boxes = found.boxes.xyxy.numpy().tolist()
                keypoints = found.keypoints.data.numpy().tolist()
                buffer = io.BytesIO()
                Image.fromarray(mask).save(buffer, "PNG")
                sample = {
                    "__key__": path.stem,
                    "jpg": path.read_bytes(),
                    "txt": path.with_suffix(".txt").read_text(),
                    "json": {"boxes": boxes, "keypoints": keypoints},
                    "mask.png": buffer.getvalue(),
                }
                sink.write(sample)

    return run


def draw(
    predictor: SamPredictor, boxes: NDArray[np.float32], shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    index = np.zeros(shape, dtype=np.uint8)
    for i, box in enumerate(boxes):
        masks, _, _ = predictor.predict(box=box, multimask_output=False)
        index[masks[0]] = i + 1
    return index


if __name__ == "__main__":
    main()
