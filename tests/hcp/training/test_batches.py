from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from hcp.training.batches import Batch, LoaderState, ahead, collate, group_window, iter_batches
from hcp.training.config import DataConfig
from hcp.training.examples import Example
from storage.errors import VersionError
from storage.records import Sample
from tests.hcp.samples import epoch_source, make_sample

SQUARE = DataConfig(resolution_px=32, decode_threads=2)
BUCKETS = DataConfig(resolution_px=32, aspects=(1.0, 2.0, 0.5), decode_threads=2)
SIZES = ((96, 96), (96, 48), (48, 96), (90, 50))
SAMPLES = [make_sample(i, size_px=SIZES[i % 4]) for i in range(11)]


def stream(
    tokenizer: CLIPTokenizer,
    config: DataConfig,
    *,
    samples: Sequence[Sample] = SAMPLES,
    state: LoaderState | None = None,
) -> Iterator[tuple[Batch, LoaderState]]:
    def to_batch(examples: Sequence[Example]) -> Batch:
        return collate(examples, tokenizer=tokenizer)

    return iter_batches(
        epoch_source(samples), to_batch, batch_size=2, config=config, seed=5, state=state
    )


def test_every_sample_is_used_once_an_epoch_and_no_tail_is_dropped(
    tiny_tokenizer: CLIPTokenizer,
) -> None:
    batches = list(islice(stream(tiny_tokenizer, SQUARE), 11))
    counts = Counter(key for batch, _ in batches for key in batch.keys)
    assert counts == {sample.key: 2 for sample in SAMPLES}
    assert batches[-1][1] == LoaderState(epoch=1, offset=11)


def test_buckets_lose_no_sample_and_every_batch_has_one_shape(
    tiny_tokenizer: CLIPTokenizer,
) -> None:
    batches = [batch for batch, _ in islice(stream(tiny_tokenizer, BUCKETS), 8)]  # one window
    assert sum(Counter(k for b in batches for k in b.keys).values()) == 16
    shapes = {tuple(batch.pixels.shape[2:]) for batch in batches}
    assert (32, 32) in shapes
    assert len(shapes) > 1


@pytest.mark.parametrize("config", [SQUARE, BUCKETS], ids=["square", "buckets"])
@pytest.mark.parametrize("stop", [1, 5, 8, 11])
def test_resuming_gives_the_batches_that_would_have_come(
    tiny_tokenizer: CLIPTokenizer, config: DataConfig, stop: int
) -> None:
    whole = list(islice(stream(tiny_tokenizer, config), stop + 4))
    state = LoaderState(**asdict(whole[stop - 1][1]))
    rest = list(islice(stream(tiny_tokenizer, config, state=state), 4))
    for (expected, after), (got, after_got) in zip(whole[stop:], rest, strict=True):
        assert got.keys == expected.keys
        assert got.captions == expected.captions
        assert torch.equal(got.pixels, expected.pixels)
        assert torch.equal(got.masks, expected.masks)
        assert after == after_got


def test_the_augmentation_differs_between_epochs(tiny_tokenizer: CLIPTokenizer) -> None:
    samples = [make_sample(1, size_px=(200, 96))] * 2
    config = DataConfig(resolution_px=32, min_crop_scale=0.5)
    batches = [b for b, _ in islice(stream(tiny_tokenizer, config, samples=samples), 2)]
    assert not torch.equal(batches[0].pixels, batches[1].pixels)


def test_collate_marks_the_human_words(tiny_tokenizer: CLIPTokenizer) -> None:
    def example(caption: str) -> Example:
        return Example(
            key="0" * 16,
            caption=caption,
            pixels=np.zeros((3, 8, 8), dtype=np.float32),
            keypoints=np.zeros((len(caption) % 3, 17, 3), dtype=np.float32),
            mask=np.zeros((8, 8), dtype=np.uint8),
            source_px=(30, 40),
            crop_px=(0, 2),
        )

    batch = collate(
        [example("a woman"), example(""), example("a red car")], tokenizer=tiny_tokenizer
    )
    assert batch.token_kinds.shape == batch.input_ids.shape == (3, 16)
    assert batch.token_kinds[0].tolist() == [0, 0, 1, *[0] * 13]  # start, a, woman
    assert not batch.token_kinds[1:].any()
    assert [len(k) for k in batch.keypoints] == [1, 0, 0]
    assert batch.time_ids.tolist() == [[30, 40, 0, 2, 8, 8]] * 3


def test_groups_fill_up_with_square_batches() -> None:
    samples = [make_sample(i, size_px=s) for i, s in enumerate([(96, 48)] * 3 + [(96, 96)] * 3)]
    groups = group_window(samples, 2, aspects=(1.0, 2.0))
    assert groups == [(2.0, [0, 1]), (1.0, [2, 5]), (1.0, [3, 4])]


def test_reading_ahead_changes_nothing(tiny_tokenizer: CLIPTokenizer) -> None:
    plain = [b.keys for b, _ in islice(stream(tiny_tokenizer, SQUARE), 7)]
    threaded = [b.keys for b, _ in islice(ahead(stream(tiny_tokenizer, SQUARE)), 7)]
    assert plain == threaded


def test_an_empty_epoch_is_an_error(tiny_tokenizer: CLIPTokenizer) -> None:
    with pytest.raises(VersionError, match="no training samples"):
        next(stream(tiny_tokenizer, SQUARE, samples=[]))
