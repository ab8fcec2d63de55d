"""What the extraction benchmarks share: models that only take time, and photos."""

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from time import sleep, time

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from priors.config import Extraction, ExtractorConfig, PoolConfig
from priors.extract import Extractor
from priors.gate import GateConfig
from priors.masks import PersonMasks, empty_masks
from priors.pool import run_units
from priors.reports import UnitReport
from storage.layout import Root
from storage.locations import TEMPORARY_PREFIX
from storage.plan import PlanConfig, plan_units
from storage.records import Person, Unit
from storage.sources import Source

SALT = "benchmark"


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepPose:
    """Finds one person on every photo, after so many seconds an image."""

    seconds: float = 0.0

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Person]]:
        sleep(self.seconds * len(images))
        return [[_whole(image)] for image in images]


def no_masks(
    images: Sequence[NDArray[np.uint8]], people: Sequence[Sequence[Person]]
) -> list[PersonMasks]:
    """Draws nothing, at once."""
    return [
        empty_masks(len(found), height_px=image.shape[0], width_px=image.shape[1])
        for image, found in zip(images, people, strict=True)
    ]


class LoggedExtractor(Extractor):
    """Notes when it starts a unit, one line each, so that repeated work can be counted."""

    log: Path

    def process(self, unit: Unit, *, poison: Set[str] = frozenset()) -> UnitReport:
        with self.log.open("a") as file:
            file.write(f"{time()} {unit.fingerprint}\n")
        return super().process(unit, poison=poison)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeStub:
    """Builds an extractor with stub models inside a worker."""

    source: Source
    root: Root
    log: Path
    seconds: float
    decode_threads: int = 2

    def __call__(self) -> LoggedExtractor:
        extractor = LoggedExtractor(
            Extraction(
                source=self.source,
                root=self.root,
                config=ExtractorConfig(decode_threads=self.decode_threads),
                gate=GateConfig(min_side_px=16),
                device="cpu",
            ),
            lambda _: [],
            pose=SleepPose(seconds=self.seconds),
            masks=no_masks,
        )
        extractor.log = self.log
        return extractor


def run_on(actors: int, units: Iterable[Unit], make: Callable[[], Extractor]) -> None:
    """Run units on so many actors of half a core each; Ray runs already."""
    config = PoolConfig(count=actors, cpus_each=0.5)
    run_units(units, make_extractor=make, on_report=lambda _: None, config=config)


def started(log: Path) -> list[tuple[float, str]]:
    """(time, unit) of every start in a log."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(float(line.split()[0]), line.split()[1]) for line in lines]


def write_photos(folder: Path, names: Sequence[str], *, side_px: int) -> None:
    """A JPEG of blotches for each name, with a caption; the name gives the content."""
    for name in names:
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(name, side_px=side_px))
        path.with_suffix(".txt").write_text(f"a person in photo {name}")


def photo(name: str, *, side_px: int) -> bytes:
    """One photo's bytes."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    blotches = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blotches).resize((side_px, side_px)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def units_of(source: Source, *, unit_size: int) -> list[Unit]:
    """The units of a source."""
    return list(plan_units(source.records(), config=PlanConfig(unit_size=unit_size), salt=SALT))


def shard_digest(root: Path) -> str:
    """One digest of all the shards and versions; what broken-off writes left is none of them."""
    whole = hashlib.sha256()
    for path in sorted([*(root / "shards").iterdir(), *(root / "versions").iterdir()]):
        if path.name.startswith(TEMPORARY_PREFIX):
            continue
        whole.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _whole(image: NDArray[np.uint8]) -> Person:
    height, width = image.shape[:2]
    point = (width / 2, height / 2, 0.9)
    box = (0.0, 0.0, float(width), float(height))
    return Person(bbox_xyxy_px=box, score=0.9, keypoints=(point,) * 17)
