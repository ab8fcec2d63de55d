"""A mix of versions: shares kept all along, each version's own order, resumed exactly."""

from collections.abc import Callable
from itertools import islice

import pytest

from storage.mixing import MixedStream
from storage.streaming import Cursor, SampleStream
from storage.versions import publish_version


@pytest.fixture
def streams(tmp_path, fill_root) -> Callable[[int], list[SampleStream]]:
    """Versions of one to five shards."""
    names = fill_root(str(tmp_path), 5)

    def make(n: int) -> list[SampleStream]:
        versions = [publish_version(str(tmp_path), names[i:], config={}) for i in range(n)]
        return [SampleStream(version, split="train", seed=3) for version in versions]

    return make


def _order(mix: MixedStream, n: int, cursor: Cursor | None = None) -> list[int]:
    streams = list(mix.streams)
    return [streams.index(place.stream) for place, _ in islice(mix.places(cursor), n)]


RATES = [
    (1.0, 1.0), (1.0, 0.25), (1.0, 3.7), (1.0, 0.001), (1.0, 1.0, 1.0), (1.0, 0.1, 0.2),
    (1.0, 7.0, 0.5, 0.03), (1.0, 1.0, 1.0, 1.0, 1.0), (1.0, 0.9, 0.8, 0.01, 3.3),
]  # fmt: skip


@pytest.mark.parametrize("rates", RATES)
def test_shares_are_kept_to_within_one_sample(streams, rates: tuple[float, ...]) -> None:
    order = _order(MixedStream(streams(len(rates)), rates), 1500)
    shares = [rate / sum(rates) for rate in rates]
    errors = [[0.0] for _ in rates]
    for n in range(1, len(order) + 1):
        for i, share in enumerate(shares):
            errors[i].append(errors[i][-1] + (order[n - 1] == i) - share)
    assert max(abs(error) for each in errors for error in each) < 1
    of_any_window = max(max(each) - min(each) for each in errors)
    assert of_any_window < (1 + 1e-9 if len(rates) == 2 else 2)


def test_each_version_keeps_its_own_order_and_epochs(streams) -> None:
    first, second = streams(2)
    mix = MixedStream([first, second], [1.0, 2.5])
    places = [place for place, _ in islice(mix.places(), 300)]
    for stream in (first, second):
        mine = [(p.facts(), p.epoch) for p in places if p.stream is stream]
        alone = [(p.facts(), p.epoch) for p, _ in islice(stream.places(), len(mine))]
        assert mine == alone
    assert {p.epoch for p in places if p.stream is second} > {0, 1, 2}


@pytest.mark.parametrize("stop", [1, 7, 50, 51, 99, 230])
def test_it_goes_on_from_any_place(streams, stop: int) -> None:
    mix = MixedStream(streams(3), [1.0, 0.3, 1.9])
    whole = list(islice(mix.places(), stop + 60))
    rest = list(islice(MixedStream(streams(3), [1.0, 0.3, 1.9]).places(whole[stop - 1][1]), 60))
    assert [p.facts() for p, _ in rest] == [p.facts() for p, _ in whole[stop:]]
    assert [after for _, after in rest] == [after for _, after in whole[stop:]]


def test_what_is_no_mix_is_refused(streams) -> None:
    with pytest.raises(ValueError, match="got 1 streams"):
        MixedStream(streams(1), [1.0])
    with pytest.raises(ValueError, match="rates"):
        MixedStream(streams(2), [1.0, 0.0])
    with pytest.raises(ValueError, match="no position in a mix of 2"):
        next(MixedStream(streams(2), [1.0, 1.0]).places(Cursor(epoch=1, offset=2)))
