"""Records to decoded photos: each once, in order, with the fault that is named first."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from priors_stubs import SIDE_PX

from priors.gate import GateConfig
from priors.reading import Photo, PhotoReader, reject
from priors.reports import StageClock
from storage.records import Reject, SourceRecord
from storage.sources import ReadFailure, Source

Photos = Callable[[Sequence[int]], Source]


class Broken:
    """A source whose photos at the given places are bytes of the caller's choice."""

    def __init__(self, source: Source, faults: dict[int, bytes | ReadFailure]) -> None:
        self._source, self._faults = source, faults
        self.n_read = 0

    def read(
        self, records: Sequence[SourceRecord]
    ) -> Iterator[tuple[SourceRecord, bytes | ReadFailure]]:
        for i, (record, data) in enumerate(self._source.read(records)):
            self.n_read += 1
            yield record, self._faults.get(i, data)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def reader(source: object, threads: ThreadPoolExecutor, *, window: int = 4) -> PhotoReader:
    return PhotoReader(source=source, gate=GateConfig(), threads=threads, window=window)  # pyright: ignore[reportArgumentType]  # reads only


def test_each_record_comes_once_in_order_with_its_reason(
    photos: Photos, threads: ThreadPoolExecutor
) -> None:
    source = photos([1] * 5)
    records = list(source.records())
    records[1] = replace(records[1], caption=None)
    records[2] = replace(records[2], caption="  a  man\nruns ")
    records[3] = replace(records[3], caption=None)
    broken = Broken(source, {3: b"no photo", 4: ReadFailure("gone")})
    clock = StageClock()
    found = list(reader(broken, threads).read(records, clock=clock))
    assert [item.record.key if isinstance(item, Photo) else item.key for item in found] == [
        record.key for record in records
    ]
    reasons = [item.reason if isinstance(item, Reject) else None for item in found]
    assert reasons == [None, "no_caption", None, "unreadable", "unreadable"]
    assert isinstance(found[2], Photo)
    assert found[2].caption == "a man runs"
    assert found[2].pixels.rgb.shape == (SIDE_PX, SIDE_PX, 3)
    assert isinstance(found[4], Reject)
    assert found[4].detail == "gone"
    assert set(clock.seconds()) == {"read", "decode"}


def test_no_more_than_the_window_is_read_ahead(photos: Photos, threads: ThreadPoolExecutor) -> None:
    source = photos([1] * 6)
    counted = Broken(source, {})
    stream = reader(counted, threads, window=2).read(list(source.records()), clock=StageClock())
    assert isinstance(next(stream), Photo)
    assert counted.n_read == 2
    del stream
    assert list(reader(counted, threads).read([], clock=StageClock())) == []


def test_a_reject_is_its_records() -> None:
    record = SourceRecord(key="k", uri="a.jpg", caption=None, content_tag="t")
    assert reject(record, "too_small", "8 px") == Reject(
        key="k", uri="a.jpg", reason="too_small", detail="8 px"
    )


@pytest.mark.parametrize("caption", ["a \ufffd\ufffd man", "\ufffd"])
def test_a_caption_that_could_not_be_decoded_is_never_trained_on(
    photos: Photos, threads: ThreadPoolExecutor, caption: str
) -> None:
    """A04: such bytes are a sign in the caption, whichever format it came from."""
    source = photos([1])
    records = [replace(record, caption=caption) for record in source.records()]
    (found,) = reader(source, threads).read(records, clock=StageClock())
    assert isinstance(found, Reject)
    assert found.reason == "bad_caption"
    assert "UTF-8" in found.detail
