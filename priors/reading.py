"""Source records to decoded photos with clean captions, decoded ahead of the models."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from priors.decode import Decode, DecodedPhoto, decode_photo
from priors.gate import GateConfig, Refusal, check_caption
from priors.reports import StageClock
from storage.records import Reject, RejectReason, SourceRecord
from storage.sources import ReadFailure, Source
from storage.sources.captions import WRONG_BYTES

_UNDECODED = (
    "the caption has bytes that are neither UTF-8, UTF-16 nor Windows-1252 (or U+FFFD, where "
    "another program met such bytes); expected text in UTF-8: save it so"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A record that may be shown to the models."""

    record: SourceRecord
    pixels: DecodedPhoto
    caption: str  # cleaned


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoReader:
    """Reads records in order; threads decode up to ``window`` photos ahead of the consumer."""

    source: Source
    gate: GateConfig
    threads: ThreadPoolExecutor
    window: int
    decode: Decode = decode_photo

    def read(
        self, records: Sequence[SourceRecord], *, clock: StageClock
    ) -> Iterator[Photo | Reject]:
        """Each record once, in order. An image's fault is named before its caption's."""
        waiting: deque[tuple[SourceRecord, Future[tuple[_Decoded, float]]]] = deque()
        contents = iter(self.source.read(records))
        exhausted = False
        try:
            while waiting or not exhausted:
                while not exhausted and len(waiting) < self.window:
                    with clock.stage("read"):
                        item = next(contents, None)
                    if item is None:
                        exhausted = True
                    else:
                        waiting.append((item[0], self.threads.submit(self._decoded, item[1])))
                if waiting:
                    record, future = waiting.popleft()
                    decoded, seconds = future.result()
                    clock.add("decode", seconds)
                    yield self._checked(record, decoded)
        finally:
            for _, future in waiting:
                future.cancel()

    def _decoded(self, data: bytes | ReadFailure) -> "tuple[_Decoded, float]":
        start = perf_counter()
        if isinstance(data, ReadFailure):
            return Refusal(reason="unreadable", detail=data.detail), 0.0
        decoded = self.decode(data, gate=self.gate)
        return decoded, perf_counter() - start

    def _checked(self, record: SourceRecord, decoded: "_Decoded") -> Photo | Reject:
        if isinstance(decoded, Refusal):
            return reject(record, decoded.reason, decoded.detail)
        if WRONG_BYTES in (record.caption or ""):
            return reject(record, "bad_caption", _UNDECODED)
        caption = check_caption(record.caption, config=self.gate)
        if isinstance(caption, Refusal):
            return reject(record, caption.reason, caption.detail)
        return Photo(record=record, pixels=decoded, caption=caption)


def reject(record: SourceRecord, reason: RejectReason, detail: str) -> Reject:
    """The record's reject."""
    return Reject(key=record.key, uri=record.uri, reason=reason, detail=detail)


_Decoded = DecodedPhoto | Refusal
