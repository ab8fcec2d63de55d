"""The data of a training: how fast it comes, whether a step waits for it, whether memory grows.

The same photos (real ones where they are at hand, else drawn) in shards. Peers of the same run:
bare decode, crop and resize of the same members (photo and mask) in as many threads, and
webdataset's own loader with the same decode and resize. All take turns. Then a training on the
embedded base, and ten epochs. Run: ``python -m benchmarks.bench_loader [--quick] [--out FILE]``.
"""

import gc
import io
import statistics
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.output import ASSETS, finish, options
from demo.embedded import SD_DIR
from hcp import HcpConfig
from hcp.base import load_base
from hcp.training.batches import Batch, LoaderState, ahead, collate, iter_batches
from hcp.training.config import DataConfig, TrainConfig
from hcp.training.trainer import Trainer
from storage.canonical import key_of
from storage.codec import split_of
from storage.layout import Root
from storage.records import Keypoint, Person, Sample, SourceRecord, Span, Unit
from storage.shards import commit_unit
from storage.streaming import SampleStream
from storage.versions import DatasetVersion, publish_version

BATCH, PER_SHARD, SIDE_PX, ROUNDS = 8, 80, 512, 5
CAPTION = "a woman in a red coat walks her dog along the beach, waving with her right hand, {}"


class Spent(NamedTuple):
    """One pass over some photos."""

    wall_s: float
    processor_s: float


def main() -> None:
    """Measure, print, write."""
    given = options(__doc__, "loader").parse_args()
    n, rounds, steps, epochs = (96, 1, 4, 3) if given.quick else (240, ROUNDS, 24, 10)
    with tempfile.TemporaryDirectory() as folder:
        version = make_version(Path(folder), n)
        tokenizer = load_base(str(SD_DIR)).tokenizer
        rates = {threads: compare(version, tokenizer, threads, rounds) for threads in (1, 2)}
        waits = data_wait(version, steps)
        memory = memory_by_epoch(version, tokenizer, epochs)
    result: dict[str, Any] = {
        "settings": {
            "photos": n, "side_px": SIDE_PX, "batch": BATCH, "rounds": rounds,
            "real_photos": bool(real_photos()),
        },
        "rates": {f"threads_{threads}": each for threads, each in rates.items()},
        "data_wait": waits,
        "memory_mib_by_epoch": memory,
        "memory_growth_mib": round(memory[-1] - memory[0], 1),
    }  # fmt: skip
    two = rates[2]
    finish(given, result, [
        ("images/s, 2 threads", two["ours_per_s"], f"bare decode + resize {two['bare_per_s']}"),
        ("ratio to bare, 1 thread, processor time", rates[1]["ratio_processor"], ">= 0.9"),
        ("ratio to bare, 2 threads, processor time", two["ratio_processor"], ">= 0.9"),
        ("ratio to bare, 2 threads, wall time", two["ratio_wall"], ">= 0.9"),
        ("webdataset's ratio to bare, processor time", two["webdataset_ratio_processor"], "peer"),
        ("share of a step that waits for data", waits["share"], "< 0.05"),
        ("memory after the last epoch - the first, MiB", result["memory_growth_mib"], "flat"),
    ])  # fmt: skip


def real_photos() -> list[Path]:
    """Photos at hand."""
    return sorted((ASSETS / "photos").glob("*.jpg"))


def photos() -> list[bytes]:
    """JPEG files of the size that captioned photos mostly have."""
    if found := real_photos():
        return [path.read_bytes() for path in found]
    drawn: list[bytes] = []
    for seed in range(24):
        small = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        drawn.append(buffer.getvalue())
    return drawn


def make_version(folder: Path, n: int) -> DatasetVersion:
    """A version of ``n`` training samples with two people each."""
    source = photos()
    keys = (key for i in range(10 * n) if split_of(key := key_of(f"{i}.jpg")) == "train")
    samples = [make_sample(source[i % len(source)], next(keys)) for i in range(n)]
    names: list[str] = []
    for start in range(0, n, PER_SHARD):
        part = samples[start : start + PER_SHARD]
        records = [
            SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.key) for s in part
        ]
        unit = Unit(fingerprint=key_of(str(start)) * 2, records=records)
        commit_unit(Root.of(folder), unit, outcomes=part)
        names.append(unit.fingerprint)
    return publish_version(str(folder), names, config={})


def make_sample(jpeg: bytes, key: str) -> Sample:
    """A sample with two people whose masks are ellipses."""
    with Image.open(io.BytesIO(jpeg)) as image:
        width, height = image.size
    mask, people = Image.new("L", (width, height)), list[Person]()
    for number, left in ((1, 0.1), (2, 0.5)):
        box = (left * width, 0.1 * height, (left + 0.35) * width, 0.95 * height)
        ImageDraw.Draw(mask).ellipse(box, fill=number)
        place = np.random.default_rng(number).uniform(box[:2], box[2:], (17, 2))
        points: tuple[Keypoint, ...] = tuple((float(x), float(y), 0.9) for x, y in place)
        people.append(Person(bbox_xyxy_px=box, score=0.9, keypoints=points, passes_gate=True))
    return Sample(
        key=key, uri=f"{key}.jpg", sha256=key * 4, phash=key, width_px=width, height_px=height,
        caption=CAPTION.format(key[:4]), attributes={}, people=tuple(people),
        human_spans=(Span(start=2, end=7, text="woman", kind="person"),),
        image_jpeg=jpeg, mask=np.asarray(mask),
    )  # fmt: skip


def compare(version: DatasetVersion, tokenizer: Any, threads: int, rounds: int) -> dict[str, float]:
    """Rates of the loader and its peers in so many threads; each round reads every photo once."""
    n = sum(count.train for count in version.counts)
    batches = batches_of(version, tokenizer, threads)  # goes on: what is read ahead is used
    runs: dict[str, Callable[[], object]] = {
        "bare": lambda: bare(version, threads),
        "ours": lambda: deque(islice(batches, n // BATCH), maxlen=0),
        "webdataset": lambda: webdataset(version),
    }
    spent: dict[str, list[Spent]] = {name: [] for name in runs}
    for number in range(rounds + 1):  # the first warms up
        for name, run in runs.items():
            wall_s, processor_s = perf_counter(), process_time()
            run()
            took = Spent(perf_counter() - wall_s, process_time() - processor_s)
            spent[name] += [took] if number else []
    rates = {f"{name}_per_s": n / statistics.median(s.wall_s for s in each)
             for name, each in spent.items()}  # fmt: skip
    per_core = {f"{name}_per_processor_s": n / statistics.median(s.processor_s for s in each)
                for name, each in spent.items()}  # fmt: skip
    ratios = {
        "ratio_wall": ratio(spent["bare"], spent["ours"], "wall_s"),
        "ratio_processor": ratio(spent["bare"], spent["ours"], "processor_s"),
        "webdataset_ratio_processor": ratio(spent["bare"], spent["webdataset"], "processor_s"),
    }
    return {name: round(value, 3) for name, value in (rates | per_core | ratios).items()}


def ratio(bare_runs: Sequence[Spent], other: Sequence[Spent], field: str) -> float:
    """The other's rate as a share of the bare one's, median of neighbouring runs."""
    pairs = zip(bare_runs, other, strict=True)
    return statistics.median(getattr(a, field) / getattr(b, field) for a, b in pairs)


def batches_of(
    version: DatasetVersion, tokenizer: Any, threads: int, side_px: int = SIDE_PX
) -> Iterator[tuple[Batch, LoaderState]]:
    """The loader as a training has it."""
    return iter_batches(
        SampleStream(version, split="train", seed=0),
        lambda examples: collate(examples, tokenizer=tokenizer),
        batch_size=BATCH,
        config=DataConfig(resolution_px=side_px, decode_threads=threads),
        seed=0,
    )


def cut(image: Image.Image, resample: Image.Resampling) -> Any:
    """What every training needs of a photo: the pixels of the largest square, resized."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((SIDE_PX, SIDE_PX), resample, box=box))


def members(files: Sequence[bytes]) -> tuple[Any, Any]:
    """Photo and mask of a sample, decoded and resized."""
    with Image.open(io.BytesIO(files[0])) as photo, Image.open(io.BytesIO(files[1])) as mask:
        pixels = cut(photo.convert("RGB"), Image.Resampling.LANCZOS)
        return pixels, cut(mask, Image.Resampling.NEAREST)


def bare(version: DatasetVersion, threads: int) -> None:
    """The photos and masks of all shards, decoded and resized; nothing else of a sample is read."""
    with ThreadPoolExecutor(threads) as pool:
        for name in version.shards:
            with tarfile.open(version.root.shard(name, "tar")) as tar:
                found: dict[str, list[bytes]] = {}
                for member in tar:
                    key, _, suffix = member.name.partition(".")
                    if suffix in ("jpg", "mask.png") and (file := tar.extractfile(member)):
                        found.setdefault(key, []).append(file.read())
            for _ in pool.map(members, found.values()):
                pass


def webdataset(version: DatasetVersion) -> None:
    """The peer with its own tar reader, in one process; decodes photos and nothing else."""
    import webdataset as wds

    urls = [version.root.shard(name, "tar") for name in version.shards]
    library: Any = wds
    stream = library.WebDataset(urls, shardshuffle=False)
    for _ in stream.to_tuple("jpg", "mask.png").map(members).batched(BATCH):
        pass


def data_wait(version: DatasetVersion, steps: int) -> dict[str, float]:
    """Share of the steps' time in which a training on the embedded base waits for its batch."""
    pipeline = load_base(str(SD_DIR))
    config = TrainConfig(
        steps=steps, batch_size=BATCH, ema_decay=None, hcp=HcpConfig(width=64),
        data=DataConfig(resolution_px=128, decode_threads=2),
    )  # fmt: skip
    trainer = Trainer(pipeline, config)
    batches = ahead(batches_of(version, pipeline.tokenizer, 2, side_px=128))
    trainer.step([next(batches)])  # the first batch is not ahead of anything
    waited, start = 0.0, perf_counter()
    for _ in range(steps):
        before = perf_counter()
        batch = next(batches)
        waited += perf_counter() - before
        trainer.step([batch])
    whole = perf_counter() - start
    trainer.close()
    return {"share": round(waited / whole, 4), "step_s": round(whole / steps, 4)}


def memory_by_epoch(version: DatasetVersion, tokenizer: Any, epochs: int) -> list[float]:
    """Resident memory of this process after each epoch, MiB."""
    n = sum(count.train for count in version.counts) // BATCH
    batches = batches_of(version, tokenizer, 2, side_px=128)
    found: list[float] = []
    for _ in range(epochs):
        for _ in islice(batches, n):
            pass
        gc.collect()
        found.append(round(resident_mib(), 1))
    return found


def resident_mib() -> float:
    """What this process holds."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
