"""Batches of a dataset version, in an order that a run can leave and re-enter exactly.

Samples run on from epoch to epoch without dropping a tail. They are taken in windows; inside a
window they are grouped by aspect bucket, and what does not fill a batch of its bucket is cropped
square, so that no sample is lost and every worker yields the same number of batches.

The augmentation of a sample depends only on (seed, epoch, key): not on the order, the number of
threads, or on where a run was resumed.

Dimension legend: B batch, K text tokens, P people, H W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hcp.tokens import human_token_kinds
from hcp.training.config import DataConfig
from hcp.training.examples import Example, make_example, nearest_aspect
from storage.errors import VersionError
from storage.records import Sample

_Window = list[tuple[int, int, Sample]]
EpochSource = Callable[[int, int], Iterator[Sample]]
"""(epoch, skip) -> the samples of that epoch after the first `skip`, for this worker."""
_WINDOW_BATCHES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderState:
    """Where a worker is: the start of the current window, and the batches taken from it."""

    epoch: int = 0
    offset: int = 0  # samples of `epoch` before the window
    batches: int = 0  # batches of the window that were already used


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedInputs:
    """What the VAE and the text encoders made of a batch, read from a cache."""

    mean: Tensor  # [B, C, h, w], of the latents before scaling
    std: Tensor  # [B, C, h, w]
    text: Tensor  # [B, K, C]
    pooled: Tensor | None  # [B, D], SDXL
    scaling_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Training examples of one shape."""

    keys: tuple[str, ...]
    captions: tuple[str, ...]
    pixels: Tensor  # float32 [B, 3, H, W] in [-1, 1]; [B, 0, H, W] where `cached` stands for them
    input_ids: Tensor  # int64 [B, K]
    token_kinds: Tensor  # int64 [B, K] as in hcp.targets.KINDS; all 0 for a dropped caption
    keypoints: tuple[Tensor, ...]  # B times float32 [P, 17, 3], pixels of the crop
    masks: Tensor  # uint8 [B, H, W], 0 background, i = row i - 1 of the keypoints
    time_ids: Tensor  # int64 [B, 6], SDXL's micro-conditioning: photo h w, crop top left, H W
    cached: CachedInputs | None = None  # instead of pixels and captions


def collate(examples: Sequence[Example], *, tokenizer: Any) -> Batch:
    """Stack examples of one shape and tokenize their captions to the tokenizer's full length."""
    captions = tuple(example.caption for example in examples)
    return Batch(
        keys=tuple(example.key for example in examples),
        captions=captions,
        pixels=torch.from_numpy(np.stack([example.pixels for example in examples])),
        input_ids=tokenize(tokenizer, captions),
        token_kinds=human_token_kinds(tokenizer, captions),
        keypoints=tuple(torch.from_numpy(example.keypoints) for example in examples),
        masks=torch.from_numpy(np.stack([example.mask for example in examples])),
        time_ids=torch.tensor(
            [[*each.source_px, *each.crop_px, *each.pixels.shape[1:]] for each in examples]
        ),
    )


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
    source: EpochSource,
    to_batch: Callable[[Sequence[Example]], Batch],
    *,
    batch_size: int,
    config: DataConfig,
    seed: int,
    state: LoaderState | None = None,
) -> Iterator[tuple[Batch, LoaderState]]:
    """Endless batches, each with the state that continues after it.

    Raises:
        VersionError: an epoch has no sample for this worker.
    """
    state = state or LoaderState()
    size = batch_size if len(config.aspects) == 1 else batch_size * _WINDOW_BATCHES
    chain = _epochs(source, epoch=state.epoch, skip=state.offset)
    used = state.batches
    with ThreadPoolExecutor(max_workers=config.decode_threads) as pool:
        while True:
            window = list(islice(chain, size))
            groups = group_window([s for _, _, s in window], batch_size, aspects=config.aspects)
            first = LoaderState(epoch=window[0][0], offset=window[0][1])
            for number, (aspect, members) in enumerate(groups[used:], start=used + 1):

                def prepare(i: int, aspect: float = aspect, window: _Window = window) -> Example:
                    epoch, _, sample = window[i]
                    rng = sample_rng(seed, epoch, sample.key)
                    return make_example(sample, config=config, aspect=aspect, rng=rng)

                batch = to_batch(list(pool.map(prepare, members)))
                last = number == len(groups)
                after = LoaderState(epoch=window[-1][0], offset=window[-1][1] + 1)
                yield batch, after if last else replace(first, batches=number)
            used = 0


def ahead(batches: Iterator[tuple[Batch, LoaderState]]) -> Iterator[tuple[Batch, LoaderState]]:
    """The same endless batches, the next one prepared in a thread while the last is in use."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(next, batches)
        while True:
            item = future.result()
            future = pool.submit(next, batches)
            yield item


def _epochs(source: EpochSource, *, epoch: int, skip: int) -> Iterator[tuple[int, int, Sample]]:
    # A run resumed right at an epoch's end skips all of it, which is not an empty epoch.
    while True:
        count = skip
        for sample in source(epoch, skip):
            yield epoch, count, sample
            count += 1
        if count == 0:
            raise VersionError(f"no training samples for this worker in epoch {epoch}")
        epoch, skip = epoch + 1, 0


def group_window(
    samples: Sequence[Sample], batch_size: int, *, aspects: Sequence[float]
) -> list[tuple[float, list[int]]]:
    """(aspect, indices of one batch) for a window whose length is a multiple of `batch_size`."""
    buckets: dict[float, list[int]] = {aspect: [] for aspect in aspects}
    for i, sample in enumerate(samples):
        buckets[nearest_aspect(sample.width_px, sample.height_px, aspects)].append(i)
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
