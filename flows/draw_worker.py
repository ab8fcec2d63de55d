"""What a worker of an evaluation does: it draws and probes one part after the other.

A module of its own: Prefect loads a deployed flow's file under another name, and what an actor
unpickles must be importable by its real one.
"""

import io
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from flows.evaluation_inputs import evaluation_config, held_out, kept_pictures
from flows.names import model_path, split_dataset
from flows.params import EvaluateSettings
from priors.reports import UnitReport
from storage.errors import HcpError
from storage.records import SourceRecord, Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcp.evaluation.drawing import DrawnHere, Part, PartDone
    from hcp.evaluation.mechanism import PhotoMaps
    from hcp.training.methods.trained import Trained
    from storage.records import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport(UnitReport):
    """A part that was drawn or probed; pictures travel as PNG, which keeps every bit."""

    part: "Part"
    pngs: tuple[bytes, ...]
    maps: "tuple[PhotoMaps, ...]"
    device: str

    def done(self) -> "PartDone":
        """The part as an evaluation takes it."""
        from hcp.evaluation.drawing import PartDone

        images = tuple(np.asarray(Image.open(io.BytesIO(png))) for png in self.pngs)
        return PartDone(part=self.part, images=images, maps=self.maps, device=self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawJob:
    """Who draws what; makes the worker inside an actor."""

    params: EvaluateSettings
    places: Mapping[str, str]  # arm -> checkpoint, without the base
    parts: "Sequence[Part]"

    def __call__(self) -> "DrawWorker":
        """Load the base and what was trained."""
        return DrawWorker(load_drawing(self.params, self.places), self)

    def units(self) -> list[Unit]:
        """The parts as the pool's units, whose records are the pictures or photos."""
        return [
            Unit(fingerprint=str(i), records=_records(i, each)) for i, each in enumerate(self.parts)
        ]


class DrawWorker:
    """A base and adapters as the pool of actors uses them."""

    def __init__(self, here: "DrawnHere", job: DrawJob) -> None:
        self.here, self._job = here, job
        self._lock = Lock()  # an adapter is attached to the one base for as long as it draws
        self._photos: Sequence[Sample] | None = None

    def process(self, unit: Unit, *, poison: Set[str]) -> PartReport:
        """Draw or probe one part.

        Raises:
            HcpError: pictures of it kill their worker, or what was trained does not fit the base.
        """
        part = self._job.parts[int(unit.fingerprint)]
        if poison:
            raise HcpError(_deadly(unit, part, poison))
        with self._lock:
            start = perf_counter()
            images, maps = self._do(part)
            seconds = perf_counter() - start
        return PartReport(
            fingerprint=unit.fingerprint,
            n_samples=part.size,
            n_rejects=0,
            rejects_by_reason={},
            stage_seconds={},
            model_seconds=round(seconds, 3),
            seconds=round(seconds, 3),
            skipped=False,
            part=part,
            pngs=tuple(map(_png, images)),
            maps=tuple(maps),
            device=self.here.device,
        )

    def probe(self, records: Sequence[SourceRecord]) -> int:
        """Do these alone, one after the other, and throw the result away."""
        part = self._job.parts[int(records[0].content_tag)]
        with self._lock:
            for record in records:
                place = int(record.key)
                self._do(replace(part, start=place, stop=place + 1))
        return len(records)

    def _do(self, part: "Part") -> "tuple[list[NDArray[np.uint8]], list[PhotoMaps]]":
        if part.wanted is not None:
            return list(self.here.draw(part)), []
        photos = self._held_out()[part.start : part.stop]
        return [], self.here.maps(part.arm, photos)

    def _held_out(self) -> "Sequence[Sample]":
        if self._photos is None:
            self._photos = photos_of(self._job.params, self.here.config.max_photos)
        return self._photos


def load_drawing(params: EvaluateSettings, places: Mapping[str, str]) -> "DrawnHere":
    """The base, what was trained, and where the base's pictures may lie already.

    Args:
        places: arm -> checkpoint, without the base.
    Raises:
        HcpError: a model or the prompts cannot be used.
    """
    from hcp.base import load_base, sampling_dtype
    from hcp.evaluation.drawing import DrawnHere
    from hcp.training.methods import load_trained
    from priors.device import resolve_device

    config, device = evaluation_config(params), resolve_device(params.device)
    dtype = sampling_dtype(config.precision, device)
    trained = {arm: load_trained(place) for arm, place in places.items()}
    if params.any_base:
        take_any_base(*trained.values())
    return DrawnHere(
        pipeline=load_base(model_path(params.base, "base"), device=device, dtype=dtype),
        trained=trained,
        config=config,
        kept=kept_pictures(params, config, device=device, dtype=dtype),
    )


def take_any_base(*trained: "Trained") -> None:
    """Without a fingerprint of its own base, any base of its layout will do."""
    known: Any
    for known in trained:
        known.card = replace(known.card, base_fingerprint={})


def photos_of(params: EvaluateSettings, limit: int) -> "Sequence[Sample]":
    """The held-out photos of the evaluation's dataset, at most ``limit``; none without one."""
    from storage.versions import open_version

    if params.dataset is None:
        return []
    return held_out(open_version(*split_dataset(params.dataset)), limit)


def _records(number: int, part: "Part") -> tuple[SourceRecord, ...]:
    wanted = part.wanted
    said = [f"held-out photo {i}" for i in range(part.stop)] if wanted is None else [
        f"{prompt!r}, seed {seed}" for prompt, seed in wanted.pictures()
    ]  # fmt: skip
    return tuple(
        SourceRecord(key=str(i), uri=said[i], caption=None, content_tag=str(number))
        for i in range(part.start, part.stop)
    )


def _deadly(unit: Unit, part: "Part", poison: Set[str]) -> str:
    found = [record.uri for record in unit.records if record.key in poison]
    return (
        f"{len(found)} of {part.size} pictures of the {part.arm} kill the worker that draws them, "
        f"the first: {found[0]}; where memory is short take a smaller evaluation.batch_size or "
        "more memory, else look into the worker's log"
    )


def _png(image: "NDArray[np.uint8]") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", compress_level=1)
    return content.getvalue()
