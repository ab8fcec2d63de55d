"""From a unit of source records to a committed shard: decode, pose, gate, masks, commit.

No Ray here: ``priors.pool`` runs extractors in actors, ``run_units_inline`` runs one in place.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from time import perf_counter
from typing import TypeVar

from priors.ahead import ahead
from priors.config import ExtractorConfig
from priors.decode import Decode, decode_photo
from priors.gate import GateConfig, Refusal, check_people
from priors.index_mask import index_people
from priors.masks import MaskModel, PersonMasks
from priors.models import load_masks, load_pose
from priors.pose import PoseModel
from priors.reading import Photo, PhotoReader, reject
from priors.reports import PoolReport, ReportSum, StageClock, UnitReport
from priors.weights import resolve_weights
from storage.canonical import digest_of
from storage.layout import Root
from storage.records import Person, Reject, Sample, SourceRecord, Span, Unit
from storage.shards import commit_unit, is_committed, read_shard_info
from storage.sources import Source

T = TypeVar("T")

UNITS_IN_FLIGHT = 2
"""Of one extractor: one has the models while the other decodes or is written."""

EXTRACTOR_VERSION = 1
"""Counts changes of this package that change shards; part of every unit's fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """What is extracted from where to where, and how; pickles, so that an actor takes it whole."""

    source: Source
    root: Root  # of the data set that gets the shards
    config: ExtractorConfig = field(default_factory=ExtractorConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    device: str = "auto"  # auto: cuda where the process sees a GPU


def config_digest(config: ExtractorConfig, gate: GateConfig) -> str:
    """What shapes a shard besides its records, as hex digits: the plan's salt.

    Weights count by digest, not by name or place. Device, batch sizes and threads do not count:
    another machine continues the same dataset.

    Raises:
        WeightsError: weights that cannot be had.
    """
    facts: dict[str, object] = {
        "version": EXTRACTOR_VERSION,
        "gate": asdict(gate),
        "imgsz": config.imgsz,
        "half": config.half is True,  # left to the device, it counts no more than the device does
    }
    for role, model in (("pose", config.pose), ("masks", config.masks)):
        facts[role] = resolve_weights(model.weights, trust=model.trust_weights).sha256
    return digest_of(facts)


class Extractor:
    """Resident models and one verb, ``process``.

    Photos are decoded by a thread pool ahead of the models, and samples written by a thread behind
    them. Two threads may process two units at once: one decodes its first photos while the other
    has the models, so that the models do not wait for a unit's end.
    """

    def __init__(
        self,
        extraction: Extraction,
        spans: Callable[[str], Sequence[Span]],
        *,
        pose: PoseModel | None = None,
        masks: MaskModel | None = None,
        decode: Decode | None = None,
    ) -> None:
        """Load the models, once.

        Args:
            extraction: photos, place and settings.
            spans: the human words of a caption.
            pose: used instead of the config's ``pose_model``; so ``masks``.
            decode: decodes elsewhere (``priors.remote_decode``); our threads only wait for it.

        Raises:
            WeightsError: a model cannot be loaded.
        """
        config, gate, device = extraction.config, extraction.gate, extraction.device
        self._config, self._gate = config, gate
        self._root = extraction.root
        self._spans = spans
        self._pose = pose or load_pose(config.pose, device=device)
        self._masks = masks or load_masks(config.masks, device=device)
        window = 2 * config.batch_size
        n_threads = window if decode else config.decode_threads
        self._reader = PhotoReader(
            source=extraction.source,
            gate=gate,
            threads=ThreadPoolExecutor(n_threads, thread_name_prefix="decode"),
            window=window,
            decode=decode or decode_photo,
        )
        self._models = threading.Lock()

    def process(self, unit: Unit, *, poison: Set[str] = frozenset()) -> UnitReport:
        """Compute and commit one unit; a unit that is committed already is skipped.

        Samples go to the shard as they are made, so that memory does not grow with the unit.

        Args:
            poison: keys of records that killed a worker: rejected unread.

        Raises:
            ShardError, SourceError, OSError: the unit cannot be read or written as a whole.
        """
        clock = StageClock()
        if is_committed(self._root, unit.fingerprint):
            info = read_shard_info(self._root, unit.fingerprint)
            return UnitReport(
                fingerprint=unit.fingerprint,
                n_samples=info.n_samples,
                n_rejects=info.n_rejects,
                rejects_by_reason=dict(info.rejects_by_reason),
                stage_seconds={},
                model_seconds=0.0,
                seconds=perf_counter() - clock.started,
                skipped=True,
            )
        rejects: list[Reject] = []
        found = self._found(unit.records, poison=poison, rejects=rejects, clock=clock)
        # The models run ahead in a thread of their own: neither mask painting nor PNG nor disk is
        # in their way. Person masks are large: one batch of them waits, no more.
        with (
            clock.stage("commit"),
            ahead(found, depth=self._config.mask_batch_size, name="models") as ready,
        ):
            samples = (self._sample(*each) for each in clock.timed("wait", ready))
            info = commit_unit(self._root, unit, samples=samples, rejects=rejects)
        stages = clock.seconds()
        stages["write"] = round(stages.pop("commit") - stages.pop("wait", 0.0), 3)
        return UnitReport(
            fingerprint=unit.fingerprint,
            n_samples=info.n_samples,
            n_rejects=info.n_rejects,
            rejects_by_reason=dict(Counter(r.reason for r in rejects)),
            stage_seconds=stages,
            model_seconds=stages.get("pose", 0.0) + stages.get("masks", 0.0),
            seconds=round(perf_counter() - clock.started, 3),
            skipped=False,
        )

    def probe(self, records: Sequence[SourceRecord]) -> int:
        """Do all but the commit, to find out whether these records kill the process.

        Returns:
            How many of them would be samples.
        """
        found = self._found(records, poison=frozenset(), rejects=[], clock=StageClock())
        return sum(1 for each in found if self._sample(*each))

    def _found(
        self,
        records: Sequence[SourceRecord],
        *,
        poison: Set[str],
        rejects: list[Reject],
        clock: StageClock,
    ) -> Iterator[tuple[Photo, tuple[Person, ...], PersonMasks]]:
        """Photos that pass, all their people, and the masks of those that pass the gate."""
        for record in records:
            if record.key in poison:
                rejects.append(reject(record, "poison", "its worker died of it, three times"))
        healthy = [record for record in records if record.key not in poison]
        read = self._reader.read(healthy, clock=clock)
        # Read ahead too: while another unit has the models, this one's next batch gets ready.
        with ahead(read, depth=self._config.batch_size, name="read") as items:
            gated = self._gated(_only_photos(items, rejects), rejects=rejects, clock=clock)
            for chunk in chunks(gated, self._config.mask_batch_size):
                passing = [tuple(p for p in people if p.passes_gate) for _, people in chunk]
                with self._models, clock.stage("masks"):
                    masks = self._masks([photo.pixels.rgb for photo, _ in chunk], passing)
                for (photo, people), each in zip(chunk, masks, strict=True):
                    yield photo, people, each

    def _gated(
        self, photos: Iterator[Photo], *, rejects: list[Reject], clock: StageClock
    ) -> Iterator[tuple[Photo, tuple[Person, ...]]]:
        for chunk in chunks(photos, self._config.batch_size):
            with self._models, clock.stage("pose"):
                found = self._pose([photo.pixels.rgb for photo in chunk])
            for photo, people in zip(chunk, found, strict=True):
                height, width = photo.pixels.rgb.shape[:2]
                outcome = check_people(people, width_px=width, height_px=height, config=self._gate)
                if isinstance(outcome, Refusal):
                    rejects.append(reject(photo.record, outcome.reason, outcome.detail))
                else:
                    yield photo, outcome

    def _sample(self, photo: Photo, people: tuple[Person, ...], masks: PersonMasks) -> Sample:
        height, width = photo.pixels.rgb.shape[:2]
        marked, index = index_people(people, masks)
        return Sample(
            key=photo.record.key,
            uri=photo.record.uri,
            sha256=photo.pixels.sha256,
            phash=photo.pixels.phash,
            width_px=width,
            height_px=height,
            caption=photo.caption,
            attributes=photo.record.attributes,
            people=marked,
            human_spans=tuple(self._spans(photo.caption)),
            image_jpeg=photo.pixels.jpeg,
            mask=index,
        )


def run_units_inline(
    units: Iterable[Unit],
    *,
    make_extractor: Callable[[], Extractor],
    on_report: Callable[[UnitReport], None],
) -> PoolReport:
    """Run units in this process, without Ray, two in flight; reports come in their order.

    A sample that kills its worker kills this process: only ``priors.pool`` survives it.
    """
    total = ReportSum()
    extractor = make_extractor()
    with ThreadPoolExecutor(UNITS_IN_FLIGHT, thread_name_prefix="unit") as threads:
        waiting: deque[Future[UnitReport]] = deque()
        fresh = iter(units)
        while True:
            for unit in islice(fresh, UNITS_IN_FLIGHT - len(waiting)):
                waiting.append(threads.submit(extractor.process, unit))
            if not waiting:
                return total.total()
            report = waiting.popleft().result()
            total.add(report)
            on_report(report)


def chunks(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter."""
    while chunk := list(islice(items, size)):
        yield chunk


def _only_photos(items: Iterable[Photo | Reject], rejects: list[Reject]) -> Iterator[Photo]:
    for item in items:
        if isinstance(item, Reject):
            rejects.append(item)
        else:
            yield item
