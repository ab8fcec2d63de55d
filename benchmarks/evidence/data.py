"""The people set: a data set that is given, or drawn photos that go through the real pipeline."""

import hashlib
import os
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo.world.dataset import jpeg_bytes, photo_name, write_folder
from demo.world.scenes import Scene, render_scene
from hcp.base import load_base
from hcp.tokens import human_spans
from hcp.training.batches import sample_rng
from hcp.training.cache import base_parts, cache_settings, settled
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.examples import make_example
from storage.caches import Cache, is_cached
from storage.canonical import digest_of, key_of
from storage.layout import Root
from storage.records import Person, Sample, SourceRecord, Unit
from storage.shards import commit_unit, is_committed
from storage.versions import DatasetVersion, open_version, publish_version, split_dataset

Image8 = NDArray[np.uint8]
REFERENCE_FIRST_SEED = 5_000_000
_HASHED_BYTES = 2**26  # larger files are known by size and time


def drawn_dataset(work: Path, n_photos: int) -> DatasetVersion:
    """Draw photos, extract their priors by the flow ``rebuild-dataset``; what is there stays."""
    from demo.run import DemoSize, demo_params
    from flows.server import private_server

    folder = work / f"people-set-{n_photos}"
    done = folder / "version"
    if done.is_file():
        return open_version(str(folder / "data"), done.read_text())
    write_folder(folder / "photos", n=n_photos, seed=0)
    with private_server(folder / "prefect") as environment:
        os.environ.update(environment)  # before prefect is imported: it reads its settings then
        from flows import rebuild_dataset
        from flows.params import RebuildParams

        params = demo_params(folder, DemoSize(photos=n_photos))["rebuild"]
        version = rebuild_dataset(RebuildParams.model_validate(params))
    done.write_text(version)
    return open_version(str(folder / "data"), version)


def drawn_reference(work: Path, n_photos: int) -> DatasetVersion:
    """Drawn people as they truly are, none of them in the people set: what the judge compares with.

    Made without any model, so that who judges needs no extraction, and no teacher's mistakes.
    """
    root = Root.of(work / f"reference-{n_photos}")
    scenes = (render_scene(seed) for seed in count(REFERENCE_FIRST_SEED))
    with_people = ((i, scene) for i, scene in enumerate(scenes) if scene.people)
    samples = [_true_sample(i, scene) for i, scene in islice(with_people, n_photos)]
    records = [
        SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.sha256) for s in samples
    ]
    fingerprint = digest_of([record.content_tag for record in records])
    if not is_committed(root, fingerprint):
        commit_unit(root, Unit(fingerprint=fingerprint, records=tuple(records)), outcomes=samples)
    return publish_version(root.uri, [fingerprint], config={})


def _true_sample(index: int, scene: Scene) -> Sample:
    side, jpeg = scene.image.shape[0], jpeg_bytes(scene.image)
    mask = np.zeros((side, side), np.uint8)
    for number, person in enumerate(scene.people, start=1):
        mask[person.mask] = number
    people = tuple(
        Person(
            bbox_xyxy_px=person.bbox_xyxy_px, score=1.0, passes_gate=True,
            keypoints=tuple((x, y, float(bool(seen))) for x, y, seen in person.keypoints),
        )
        for person in scene.people
    )  # fmt: skip
    uri, sha256 = photo_name(index), hashlib.sha256(jpeg).hexdigest()
    return Sample(
        key=key_of(uri), uri=uri, sha256=sha256, phash="0" * 16, width_px=side, height_px=side,
        caption=scene.caption, attributes={}, people=people, image_jpeg=jpeg, mask=mask,
        human_spans=tuple(human_spans(scene.caption)),
    )  # fmt: skip


def given_dataset(name: str) -> DatasetVersion:
    """The version of ``ROOT`` or ``ROOT@VERSION``.

    Raises:
        HcpError: there is none.
        ValueError: it has no photo to train on, or none that is held out.
    """
    version = open_version(*split_dataset(name))
    train, held_out = (
        sum(getattr(count, split) for count in version.counts) for split in ("train", "val")
    )
    if not train or not held_out:
        raise ValueError(
            f"dataset {name}: expected photos to train on and held-out ones, got {train} and "
            f"{held_out}; a version of more photos has both"
        )
    return version


def write_cache(version: DatasetVersion, config: TrainConfig, base: str, device: str) -> None:
    """Latents and texts of a version beside it, once, so that no training encodes them again."""
    from hcp.training.cache_write import CacheWriter

    config = settled(config, base)
    facts = {"base": base}
    cache = Cache(root=version.root, settings=cache_settings(config, base_parts(base)), facts=facts)
    missing = [shard for shard in version.shards if not is_cached(cache, shard)]
    if missing:
        writer = CacheWriter(load_base(base, device=device, without=("unet",)), config, cache)
        for shard in missing:
            writer.write(shard)


def photos_of(version: DatasetVersion, n: int, *, size_px: int) -> list[Image8]:
    """Photos with human words as a training sees them, for distances between distributions."""
    config = DataConfig(resolution_px=size_px, flip_probability=0.0, caption_dropout=0.0)

    def photos() -> Iterator[Image8]:
        for sample in version.iter_samples():
            if human_spans(sample.caption):
                example = make_example(sample, config=config, rng=sample_rng(0, 0, sample.key))
                yield np.ascontiguousarray(example.pixels.transpose(1, 2, 0))

    return list(islice(photos(), n))


def content_digest(name: str) -> str:
    """Of a model's files where it is a folder or a file, else of its name.

    What tells how it was made (``TRAINING.*``) does not count.
    """
    place = Path(name).expanduser()
    files = [place]
    if place.is_dir():
        files = sorted(p for p in place.rglob("*") if p.is_file() and p.stem != "TRAINING")
    if not place.exists():
        return digest_of(name, hex_digits=16)
    return digest_of([_file_digest(p, place) for p in files], hex_digits=16)


def _file_digest(path: Path, below: Path) -> list[object]:
    facts = path.stat()
    if facts.st_size > _HASHED_BYTES:
        known: object = facts.st_mtime_ns
    else:
        known = hashlib.sha256(path.read_bytes()).hexdigest()
    return [path.relative_to(below).as_posix(), facts.st_size, known]
