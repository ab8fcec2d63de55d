"""Batches of one global order, which a run can leave and re-enter exactly.

Samples run on from epoch to epoch without dropping a tail. They are taken in windows; inside a
window they are grouped by aspect bucket, and what does not fill a batch of its bucket is cropped
square, so that no sample is lost. Of the batches that come so, the ranks take turns: with W ranks
rank r has every W-th one from the r-th on, and reads the photos of no other.

The augmentation of a sample depends only on (seed, epoch, key): not on the order, the number of
threads or ranks, or on where a run was resumed. A sample that cannot be read keeps its position,
and another stands in for it.

Dimension legend: B batch, K text tokens, P people, H W pixels.
"""

import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hcp.tokens.spans import encode_captions
from hcp.training.config import DataConfig
from hcp.training.encoded import EncodedBatch
from hcp.training.examples import Example, make_example, nearest_aspect
from storage.errors import ShardError
from storage.streaming import Cursor, Place

WINDOW_BATCHES = 8
_AHEAD = 2  # batches whose photos are decoded while one is in use
FAULTS = (
    ShardError, OSError, ValueError, TypeError, LookupError, ArithmeticError, SyntaxError, EOFError,
    struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
"""What libraries say of a broken photo, mask or record."""


class SampleSource(Protocol):
    """What has an order: ``storage.streaming.SampleStream`` or a mix of them."""

    def places(self, cursor: Cursor | None = None) -> Iterator[tuple[Place, Cursor]]:
        """Endless places after a position, each with the position after it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderState:
    """Where a run is in the global order: its current window, and the batches taken from it.

    The same on every rank, and whatever their number.
    """

    epoch: int = 0
    offset: int = 0  # samples of `epoch` before the window
    batches: int = 0  # batches of the window that were already used
    others: tuple[int, ...] = ()  # samples of each further version of a mix before the window

    def __post_init__(self) -> None:
        object.__setattr__(self, "others", tuple(self.others))  # JSON knows lists alone

    @classmethod
    def from_format_1(
        cls, state: Mapping[str, Any], *, world_size: int, batch_size: int
    ) -> "LoaderState":
        """The place in the global order for that of a trainer state of format 1.

        There every rank had a run of each epoch of its own. One rank's is the global order itself.
        Those of several lie apart, which no place in one order can say: the run goes on in the same
        epoch after as many samples as were used in it. Of that epoch some samples so come twice
        and others not at all; from the next one on it is as ever.
        """
        if world_size == 1:
            return cls(**state)
        used = state["offset"] + state["batches"] * batch_size
        return cls(epoch=state["epoch"], offset=used * world_size)

    @property
    def cursor(self) -> Cursor:
        """The start of the window."""
        return Cursor(epoch=self.epoch, offset=self.offset, others=self.others)


def _state(cursor: Cursor, batches: int = 0) -> LoaderState:
    return LoaderState(
        epoch=cursor.epoch, offset=cursor.offset, others=cursor.others, batches=batches
    )


class BadSample(NamedTuple):
    """A sample that could not be read, and for which another one stands."""

    shard: str  # the tar's location
    key: str  # "" where the shard does not even tell its keys
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Training examples of one shape."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    pixels: Tensor  # uint8 [B, 3, H, W], or float in [-1, 1]; [B, 0, H, W] where `cached` stands
    input_ids: Tensor  # int64 [B, K]
    token_kinds: Tensor  # int64 [B, K] as in hcp.targets.KINDS; all 0 for a dropped caption
    keypoints: tuple[Tensor, ...]  # B times float32 [P, 17, 3], pixels of the crop
    masks: Tensor  # uint8 [B, H, W], 0 background, i = row i - 1 of the keypoints
    time_ids: Tensor  # int64 [B, 6], SDXL's micro-conditioning: photo h w, crop top left, H W
    cached: EncodedBatch | None = None  # instead of pixels and captions
    bad: tuple[BadSample, ...] = ()  # samples of the order for which others stand here


def collate(examples: Sequence[Example], *, tokenizer: Any) -> Batch:
    """Stack examples of one shape and tokenize their captions to the tokenizer's full length."""
    captions = tuple(example.caption for example in examples)
    encoded = [each.encoded for each in examples if each.encoded is not None]
    cached = EncodedBatch.stack(encoded) if encoded else None
    if cached is None:
        input_ids, token_kinds = encode_captions(tokenizer, captions)
    else:
        input_ids, token_kinds = cached.input_ids, cached.token_kinds
    return Batch(
        keys=tuple(example.key for example in examples),
        captions=captions,
        pixels=_stacked(examples),
        input_ids=input_ids,
        token_kinds=token_kinds,
        keypoints=tuple(torch.from_numpy(example.keypoints) for example in examples),
        masks=torch.from_numpy(np.stack([example.mask for example in examples])),
        time_ids=torch.tensor(
            [[*each.source_px, *each.crop_px, *each.pixels.shape[1:]] for each in examples]
        ),
        cached=cached,
    )


def _stacked(examples: Sequence[Example]) -> Tensor:
    # As the photos lie in memory: colours last. Whoever takes them has them copied once anyway.
    images = np.stack([example.pixels.transpose(1, 2, 0) for example in examples])
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def tokenize(tokenizer: Any, captions: Sequence[str]) -> Tensor:
    """Input ids [B, K], padded and cut to the tokenizer's length, as the pipeline does."""
    encoded = tokenizer(
        list(captions),
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    )
    return encoded["input_ids"]


def iter_batches(
    source: SampleSource,
    to_batch: Callable[[Sequence[Example]], Batch],
    *,
    batch_size: int,
    config: DataConfig,
    seed: int,
    state: LoaderState | None = None,
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Batch, LoaderState]]:
    """Endless batches of one rank, each with the state that continues after all ranks' batches.

    Photos of the next batches are read and decoded in ``config.decode_threads`` threads while one
    is in use; memory holds a few batches.

    Raises:
        ValueError: the rank is not in [0, world_size).
        ShardError: neither a sample nor any that may stand in for it can be read.
    """
    if not 0 <= rank < world_size:
        raise ValueError(f"rank must be in [0, world_size), got {rank} of {world_size}")
    plan = plan_batches(source, batch_size, aspects=config.aspects, state=state or LoaderState())
    waiting = deque[tuple[list[Future[_Read]], LoaderState]]()
    with ThreadPoolExecutor(max_workers=config.decode_threads) as pool:
        while True:
            while len(waiting) <= _AHEAD:
                turn = list(islice(plan, world_size))
                aspect, places, _ = turn[rank]
                photos = [pool.submit(_read, p, aspect, config, seed) for p in places]
                waiting.append((photos, turn[-1][2]))
            photos, after = waiting.popleft()
            examples, bad = zip(*(photo.result() for photo in photos), strict=True)
            batch = to_batch(examples)
            found = tuple(each for each in bad if each is not None)
            yield (replace(batch, bad=found) if found else batch), after


def plan_batches(
    source: SampleSource, batch_size: int, *, aspects: Sequence[float], state: LoaderState
) -> Iterator[tuple[float, list[Place], LoaderState]]:
    """(aspect, places of its samples, state after it) of every batch of the global order."""
    size = batch_size if len(aspects) == 1 else batch_size * WINDOW_BATCHES
    cursor, used = state.cursor, state.batches
    stream = source.places(cursor)
    while True:
        window = list(islice(stream, size))
        places = [place for place, _ in window]
        sizes = [_size(place) for place in places] if len(aspects) > 1 else [(0, 0)] * size
        groups = group_window(sizes, batch_size, aspects=aspects)
        end = window[-1][1]
        for number, (aspect, members) in enumerate(groups[used:], start=used + 1):
            after = _state(end) if number == len(groups) else _state(cursor, number)
            yield aspect, [places[i] for i in members], after
        cursor, used = end, 0


def _size(place: Place) -> tuple[int, int]:
    try:
        facts = place.facts()
    except ShardError:  # it will be read, and be counted, by the rank whose it is
        return 0, 0
    return facts.width_px, facts.height_px


_Read = tuple[Example, BadSample | None]


def _read(place: Place, aspect: float, config: DataConfig, seed: int) -> _Read:
    """The example of a place, or of the first that can stand in for it."""
    bad: BadSample | None = None
    for candidate in chain([place], place.stand_ins()):
        try:
            sample = candidate.read()
            rng = sample_rng(seed, candidate.epoch, sample.key)
            return make_example(sample, config=config, aspect=aspect, rng=rng), bad
        except FAULTS as error:
            bad = bad or BadSample(place.shard, _key(place), f"{type(error).__name__}: {error}")
    assert bad is not None
    raise ShardError(
        f"{bad.shard}: sample {bad.key or '(unknown)'} cannot be read, nor can any that may stand "
        f"in for it, in this shard and those after it: {bad.reason}"
    )


def _key(place: Place) -> str:
    try:
        return place.facts().key
    except ShardError:
        return ""


def ahead(batches: Iterator[tuple[Batch, LoaderState]]) -> Iterator[tuple[Batch, LoaderState]]:
    """The same endless batches, the next one prepared in a thread while the last is in use."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(next, batches)
        while True:
            item = future.result()
            future = pool.submit(next, batches)
            yield item


def group_window(
    sizes_px: Sequence[tuple[int, int]], batch_size: int, *, aspects: Sequence[float]
) -> list[tuple[float, list[int]]]:
    """(aspect, indices of one batch) for a window whose length is a multiple of `batch_size`.

    A photo of unknown size, (0, 0), counts as square.
    """
    buckets: dict[float, list[int]] = {aspect: [] for aspect in aspects}
    for i, (width, height) in enumerate(sizes_px):
        buckets[nearest_aspect(width, height, aspects) if width and height else 1.0].append(i)
    groups: list[tuple[float, list[int]]] = []
    rest: list[int] = []
    for aspect, members in buckets.items():
        full = len(members) - len(members) % batch_size
        groups += [(aspect, members[i : i + batch_size]) for i in range(0, full, batch_size)]
        rest += members[full:]
    rest.sort()
    groups += [(1.0, rest[i : i + batch_size]) for i in range(0, len(rest), batch_size)]
    return sorted(groups, key=lambda group: group[1][0])


def sample_rng(seed: int, epoch: int, key: str) -> np.random.Generator:
    """The generator of one sample's augmentation in one epoch."""
    return np.random.default_rng([seed, epoch, int(key, 16)])
