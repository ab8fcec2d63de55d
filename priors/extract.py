"""From a unit of source records to a committed shard: decode, pose, gate, masks, commit.

No Ray here: ``priors.pool`` runs extractors in actors, ``run_units_inline`` runs one in place.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

from priors.ahead import ahead
from priors.config import Extraction
from priors.decode import Decode, decode_photo
from priors.gate import Refusal, check_people
from priors.masks import MaskModel, PersonMasks, index_people
from priors.mending import mend_masks
from priors.models import load_masks, load_pose
from priors.pose import PoseModel
from priors.reading import Photo, PhotoReader, reject
from priors.reports import PoolReport, ReportSum, StageClock, UnitReport
from storage.markers import is_committed, read_shard_info
from storage.records import Person, Reject, Sample, SourceRecord, Span, Unit
from storage.shards import commit_unit

T = TypeVar("T")

UNITS_IN_FLIGHT = 2
"""Of one extractor: one has the models while the other decodes or is written."""


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
        skipped = is_committed(self._root, unit.fingerprint)
        if skipped:
            info = read_shard_info(self._root, unit.fingerprint)
        else:
            outcomes = self._outcomes(unit.records, poison=poison, clock=clock)
            with clock.stage("commit"), closing(outcomes):
                info = commit_unit(self._root, unit, outcomes=outcomes)
        return UnitReport.of(info, clock, skipped=skipped)

    def probe(self, records: Sequence[SourceRecord]) -> int:
        """Do all but the commit, to find out whether these records kill the process.

        Returns:
            How many of them would be samples.
        """
        outcomes = self._outcomes(records, poison=frozenset(), clock=StageClock())
        return sum(isinstance(outcome, Sample) for outcome in outcomes)

    def _outcomes(
        self, records: Sequence[SourceRecord], *, poison: Set[str], clock: StageClock
    ) -> Generator[Sample | Reject]:
        """What becomes of each record once; the samples come in the records' order."""
        for record in records:
            if record.key in poison:
                yield reject(record, "poison", "its worker died of it, three times")
        healthy = [record for record in records if record.key not in poison]
        # The models run ahead in a thread of their own: neither mask painting nor PNG nor disk is
        # in their way. Person masks are large: one batch of them waits, no more.
        masked = self._masked(healthy, clock=clock)
        with ahead(masked, depth=self._config.mask_batch_size, name="models") as ready:
            for each in clock.timed("wait", ready):
                if isinstance(each, Reject):
                    yield each
                    continue
                photo, people, found = each
                mended = mend_masks(found, self._config.mending)
                clock.count(
                    masks_mended=mended.n_masks,
                    holes_filled=mended.n_holes,
                    specks_removed=mended.n_specks,
                )
                yield self._sample(photo, people, mended.masks)

    def _masked(
        self, records: Sequence[SourceRecord], *, clock: StageClock
    ) -> Iterator[tuple[Photo, tuple[Person, ...], PersonMasks] | Reject]:
        """Photos that pass, all their people, and the masks of those that pass the gate."""
        read = self._reader.read(records, clock=clock)
        # Read ahead too: while another unit has the models, this one's next batch gets ready.
        with ahead(read, depth=self._config.batch_size, name="read") as items:
            gated = self._gated(items, clock=clock)
            for batch in batches(gated, self._config.mask_batch_size):
                if isinstance(batch, Reject):
                    yield batch
                    continue
                passing = [tuple(p for p in people if p.passes_gate) for _, people in batch]
                with self._models, clock.stage("masks"):
                    masks = self._masks([photo.pixels.rgb for photo, _ in batch], passing)
                for (photo, people), each in zip(batch, masks, strict=True):
                    yield photo, people, each

    def _gated(
        self, photos: Iterable[Photo | Reject], *, clock: StageClock
    ) -> Iterator[tuple[Photo, tuple[Person, ...]] | Reject]:
        """Photos with a person who passes the gate, and all their people."""
        for batch in batches(photos, self._config.batch_size):
            if isinstance(batch, Reject):
                yield batch
                continue
            with self._models, clock.stage("pose"):
                found = self._pose([photo.pixels.rgb for photo in batch])
            for photo, people in zip(batch, found, strict=True):
                height, width = photo.pixels.rgb.shape[:2]
                checked = check_people(people, width_px=width, height_px=height, config=self._gate)
                if isinstance(checked, Refusal):
                    yield reject(photo.record, checked.reason, checked.detail)
                else:
                    yield photo, checked

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


def batches(items: Iterable[T | Reject], size: int) -> Iterator[list[T] | Reject]:
    """Lists of ``size`` items, the last one shorter; rejects among them go on at once."""
    batch: list[T] = []
    for item in items:
        if isinstance(item, Reject):
            yield item
            continue
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
