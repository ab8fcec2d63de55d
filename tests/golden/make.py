"""Made the golden set beside it, once, with the code of commit 6b2f3d3 (before the settings tree).

Run there (``git worktree add /tmp/old 6b2f3d3``, copy this file in, ``python -m tests.golden.make``):
it uses that commit's API. The files are what users of that version have; later code reads them.
"""

import csv
import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from demo.dataset import write_folder
from demo.embedded import POSE_PX
from flows import rebuild_dataset, train_hcp
from flows.params import RebuildParams, TrainParams
from storage.plan import PlanConfig, plan_units
from storage.registry import Registry
from storage.sources import resolve_source
from tests.priors.priors_stubs import stub_extractor, units_of, write_photos

HERE = Path(__file__).parent
TRAIN = {
    "steps": 2, "batch_size": 2, "learning_rate": 1e-3, "warmup_steps": 1, "ema_decay": 0.9,
    "precision": "float32", "checkpoint_every": 2, "resolution_px": 128, "seed": 3,
    "hcp": {"width": 4, "stages": ["mid"]},
}  # fmt: skip


def main() -> None:
    """Write photos, a data set, sources with their fingerprints, a training run, a registry."""
    for name in ("photos", "data", "sources", "training"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    write_folder(HERE / "photos", n=12, seed=700, defects=True)
    rebuild = RebuildParams(
        source=str(HERE / "photos"), root=str(HERE / "data"), pose_model="embedded",
        mask_model="embedded", image_size_px=POSE_PX, unit_size=6, actors=1,
    )  # fmt: skip
    version = rebuild_dataset(rebuild)
    train = TrainParams(
        dataset=f"{HERE / 'data'}@{version}", base="embedded", out=str(HERE / "training"), **TRAIN
    )
    train_hcp(train)
    write_sources(HERE / "sources")
    write_registry(HERE / "registry.sql")
    write_stub_digests(HERE / "stub_digests.json")
    settings = json.loads((HERE / "data" / "runs" / "rebuild-params.json").read_text())
    for name in ("source", "root"):
        settings[name] = Path(settings[name]).name
    (HERE / "data" / "runs" / "rebuild-params.json").write_text(json.dumps(settings, indent=1))
    (HERE / "data" / "runs" / "rebuild.jsonl").unlink()
    (HERE / "train.json").write_text(json.dumps(train.model_dump(mode="json"), indent=1) + "\n")


def write_sources(root: Path) -> None:
    """The same six photos in each format, and the units that they make, as fingerprints."""
    photos = sorted((HERE / "photos").glob("drawn-*.jpg"))[:6]
    texts = [p.with_suffix(".txt").read_text().strip() for p in photos]
    folder = root / "folder"
    (folder / "sub").mkdir(parents=True)
    rows = []
    for i, (photo, text) in enumerate(zip(photos, texts, strict=True)):
        place = folder / ("sub" if i % 2 else "") / photo.name
        shutil.copy(photo, place)
        if i < 3:
            place.with_suffix(".txt").write_text(text)
        else:
            rows.append({"file_name": str(place.relative_to(folder)), "text": text, "n": i})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    coco = root / "coco"
    (coco / "images").mkdir(parents=True)
    for photo in photos:
        shutil.copy(photo, coco / "images" / photo.name)
    images = [{"id": i, "file_name": p.name} for i, p in enumerate(photos)]
    notes = [{"id": i, "image_id": i, "caption": t} for i, t in enumerate(texts)]
    notes += [{"id": 9, "image_id": 2, "caption": "another"}]
    (coco / "captions.json").write_text(json.dumps({"images": images, "annotations": notes}))
    (root / "webdataset").mkdir()
    for n in range(2):
        with tarfile.open(root / "webdataset" / f"{n:05}.tar", "w") as tar:
            for photo, text in list(zip(photos, texts, strict=True))[3 * n : 3 * n + 3]:
                for suffix, data in (
                    ("jpg", photo.read_bytes()), ("txt", text.encode()),
                    ("json", json.dumps({"width": 256}).encode()),
                ):  # fmt: skip
                    member = tarfile.TarInfo(f"{photo.stem}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    (root / "table").mkdir()
    columns = {"image": [p.read_bytes() for p in photos], "caption": texts}
    pq.write_table(pa.table(columns), root / "table" / "photos.parquet")
    paths = root / "paths"
    paths.mkdir()
    for photo in photos:
        shutil.copy(photo, paths / photo.name)
    with (paths / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "caption"), *zip((p.name for p in photos), texts)])
    plans = {}
    for place in sorted(path for path in root.iterdir() if path.is_dir()):
        source = resolve_source(str(place), format="auto", images=None)
        units = list(plan_units(source.records(), config=PlanConfig(unit_size=2), salt="golden"))
        plans[place.name] = {
            "format": source.format,
            "units": [[u.fingerprint, [[r.key, r.uri] for r in u.records]] for u in units],
        }
    (root / "plans.json").write_text(json.dumps(plans, indent=1) + "\n")


def write_registry(sql: Path) -> None:
    """A registry with ``training/latest`` as champion, as SQL text; its place is ``@GOLDEN@``."""
    database = HERE / "registry.db"
    database.unlink(missing_ok=True)
    registry = Registry(f"sqlite:///{database}")
    entry = registry.register(
        "hcp", checkpoint_uri=str(HERE / "training" / "latest"),
        metrics={"candidate.people_score": 0.5}, tags={"base": "embedded", "gate": "passed"},
    )  # fmt: skip
    registry.promote("hcp", entry.version)
    with sqlite3.connect(database) as connection:
        text = "\n".join(connection.iterdump())
    database.unlink()
    sql.write_text(text.replace(str(HERE), "@GOLDEN@") + "\n")


def write_stub_digests(path: Path) -> None:
    """What the shards of the stubs' photos weigh in at: bytes that no processor changes."""
    with tempfile.TemporaryDirectory() as folder:
        photos, root = Path(folder) / "photos", Path(folder) / "data"
        write_photos(photos, [1, 2, 0, 3, 1, 9, 2, 1])
        (photos / "001.txt").unlink()
        source = resolve_source(str(photos), format="folder", images=None)
        extractor = stub_extractor(source, root)
        for unit in units_of(source, size=3):
            extractor.process(unit)
        files = sorted((root / "shards").iterdir())
        digests = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    path.write_text(json.dumps(digests, indent=1) + "\n")


if __name__ == "__main__":
    main()
