"""Several versions as one stream: how often each comes is kept to within one sample."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from storage.streaming import Cursor, SampleStream, StoredPlace

_ROUNDING = 1e-9


class MixedStream:
    """The samples of several versions in one order, each version's in its own.

    After any number of samples each version has had its share of them to within one sample; of
    two versions that holds in every stretch of the order too, and of more to within two. It is
    Tijdeman's rule for the chairman assignment problem (1980), whose bound no rule can beat.
    """

    def __init__(self, streams: Sequence[SampleStream], rates: Sequence[float]) -> None:
        """Mix them.

        Args:
            streams: at least two; the first is the one whose epochs the others are counted by.
            rates: samples of each for one sample of the first; any positive scale will do.
        """
        if len(streams) < 2 or len(streams) != len(rates) or min(rates) <= 0:
            raise ValueError(f"got {len(streams)} streams with rates {list(rates)}")
        self.streams = tuple(streams)
        self.shares = [rate / sum(rates) for rate in rates]

    def places(self, cursor: Cursor | None = None) -> Iterator[tuple[StoredPlace, Cursor]]:
        """Endless places after a position, each with the position after it.

        Raises:
            ValueError: the position is of a mix of another number of versions.
        """
        main = cursor or Cursor(others=(0,) * (len(self.streams) - 1))
        if main == Cursor():
            main = Cursor(others=(0,) * (len(self.streams) - 1))
        if len(main.others) != len(self.streams) - 1:
            raise ValueError(f"{main} is no position in a mix of {len(self.streams)} versions")
        counts = [main.epoch * self.streams[0].size + main.offset, *main.others]
        places = [self.streams[0].places(main)]
        for stream, count in zip(self.streams[1:], main.others, strict=True):
            epoch, offset = divmod(count, stream.size)
            places.append(stream.places(Cursor(epoch=epoch, offset=offset)))
        while True:
            due = self._due(counts)
            place, after = next(places[due])
            counts[due] += 1
            main = after if due == 0 else main
            main = replace(main, others=tuple(counts[1:]))
            yield place, main

    def _due(self, counts: Sequence[int]) -> int:
        """The version that the next sample comes from."""
        owed = [s * (sum(counts) + 1) - n for s, n in zip(self.shares, counts, strict=True)]
        least = 1 / (2 * len(counts) - 2)

        def deadline(i: int) -> float:
            return (1 - least - owed[i]) / self.shares[i]

        return min((i for i, o in enumerate(owed) if o >= least - _ROUNDING), key=deadline)
