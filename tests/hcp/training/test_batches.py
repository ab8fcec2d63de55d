import io
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

from hcp.training.batches import (
    Batch,
    LoaderState,
    ahead,
    collate,
    group_window,
    iter_batches,
)
from hcp.training.config import DataConfig
from hcp.training.examples import Example
from storage.canonical import key_of
from storage.codec import split_of
from storage.errors import ShardError
from storage.layout import Root
from storage.records import Sample, SourceRecord, Unit
from storage.shards import commit_unit
from storage.streaming import SampleStream
from storage.versions import DatasetVersion, publish_version
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
    rank: int = 0,
    world_size: int = 1,
) -> Iterator[tuple[Batch, LoaderState]]:
    def to_batch(examples: Sequence[Example]) -> Batch:
        return collate(examples, tokenizer=tokenizer)

    return iter_batches(
        epoch_source(samples), to_batch, batch_size=2, config=config, seed=5, state=state,
        rank=rank, world_size=world_size,
    )  # fmt: skip


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


@pytest.mark.parametrize("more", [" and a tall tree beside a red house" * 8, " word" * 2000])
def test_captions_longer_than_the_encoder_are_cut_to_what_it_reads(
    tiny_tokenizer: CLIPTokenizer, more: str
) -> None:
    """Kind: captions of VLMs: the sample keeps all of it, a batch what the encoder reads."""
    whole = [replace(sample, caption=f"a woman runs{more}") for sample in SAMPLES[:2]]
    config = replace(SQUARE, caption_dropout=0.0)
    batch, _ = next(stream(tiny_tokenizer, config, samples=whole))
    K = tiny_tokenizer.model_max_length
    assert batch.input_ids.shape == (2, K)
    assert batch.input_ids[0, -1] == tiny_tokenizer.eos_token_id
    assert bool((batch.token_kinds[:, :5] > 0).any())
    assert set(batch.captions) == {f"a woman runs{more}"}


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
            pixels=np.zeros((3, 8, 8), dtype=np.uint8),
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
    groups = group_window([(96, 48)] * 3 + [(96, 96), (0, 0), (96, 96)], 2, aspects=(1.0, 2.0))
    assert groups == [(2.0, [0, 1]), (1.0, [2, 5]), (1.0, [3, 4])]


def test_reading_ahead_changes_nothing(tiny_tokenizer: CLIPTokenizer) -> None:
    plain = [b.keys for b, _ in islice(stream(tiny_tokenizer, SQUARE), 7)]
    threaded = [b.keys for b, _ in islice(ahead(stream(tiny_tokenizer, SQUARE)), 7)]
    assert plain == threaded


@pytest.mark.parametrize("config", [SQUARE, BUCKETS], ids=["square", "buckets"])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_take_turns_in_the_one_order(
    tiny_tokenizer: CLIPTokenizer, config: DataConfig, world_size: int
) -> None:
    alone = list(islice(stream(tiny_tokenizer, config), 5 * world_size))
    for rank in range(world_size):
        mine = stream(tiny_tokenizer, config, rank=rank, world_size=world_size)
        for turn, (batch, after) in enumerate(islice(mine, 5)):
            same, _ = alone[turn * world_size + rank]
            assert batch.keys == same.keys
            assert torch.equal(batch.pixels, same.pixels)
            assert after == alone[(turn + 1) * world_size - 1][1]  # of all ranks


@pytest.mark.parametrize("config", [SQUARE, BUCKETS], ids=["square", "buckets"])
def test_another_number_of_ranks_goes_on_in_the_order(
    tiny_tokenizer: CLIPTokenizer, config: DataConfig
) -> None:
    alone = [b.keys for b, _ in islice(stream(tiny_tokenizer, config), 12)]
    (_, state), *_ = islice(stream(tiny_tokenizer, config, rank=1, world_size=2), 2, 3)
    rest = [
        [b.keys for b, _ in islice(
            stream(tiny_tokenizer, config, state=state, rank=rank, world_size=3), 2)]
        for rank in range(3)
    ]  # fmt: skip
    assert [rest[i % 3][i // 3] for i in range(6)] == alone[6:12]


def test_a_rank_that_is_none_is_refused(tiny_tokenizer: CLIPTokenizer) -> None:
    with pytest.raises(ValueError, match="got 2 of 2"):
        next(stream(tiny_tokenizer, SQUARE, rank=2, world_size=2))


@pytest.mark.parametrize(
    ("state", "world_size", "expected"),
    [
        ({"epoch": 2, "offset": 6, "batches": 1}, 1, LoaderState(epoch=2, offset=6, batches=1)),
        ({"epoch": 2, "offset": 6, "batches": 0}, 3, LoaderState(epoch=2, offset=18)),
        ({"epoch": 0, "offset": 16, "batches": 3}, 2, LoaderState(epoch=0, offset=44)),
    ],
)
def test_a_place_of_the_format_before(
    state: dict[str, int], world_size: int, expected: LoaderState
) -> None:
    assert LoaderState.from_format_1(state, world_size=world_size, batch_size=2) == expected


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    """Three shards of four photos, none of them held out."""
    names = []
    keys = (key for i in count() if split_of(key := key_of(f"{i}.jpg")) == "train")
    for shard in range(3):
        samples = [
            replace(make_sample(10 * shard + i, size_px=SIZES[i]), key=next(keys)) for i in range(4)
        ]
        records = [
            SourceRecord(key=s.key, uri=s.uri, caption=s.caption, content_tag=s.sha256)
            for s in samples
        ]
        unit = Unit(fingerprint=f"{shard:032x}", records=records)
        commit_unit(Root.of(tmp_path), unit, outcomes=samples)
        names.append(unit.fingerprint)
    return publish_version(str(tmp_path), names, config={})


def spoil(version: DatasetVersion, shard: str, suffix: str, content: bytes) -> str:
    """Give the first sample of a shard another member; returns its key."""
    path = Path(version.root.shard(shard, "tar"))
    with tarfile.open(path) as tar:
        members = [(m.name, extracted.read()) for m in tar if (extracted := tar.extractfile(m))]
    key = members[0][0].partition(".")[0]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            kept = content if name == f"{key}.{suffix}" else data
            member.size = len(kept)
            tar.addfile(member, io.BytesIO(kept))
    return key


def stored(
    version: DatasetVersion, tokenizer: CLIPTokenizer, config: DataConfig, n: int, **options: Any
) -> list[tuple[Batch, LoaderState]]:
    batches = iter_batches(
        SampleStream(version, split="train", seed=1),
        lambda examples: collate(examples, tokenizer=tokenizer),
        batch_size=2, config=config, seed=1, **options,
    )  # fmt: skip
    return list(islice(batches, n))


CUT = b"\xff\xd8\xff\xe0 cut"
NO_NUMBERS = b'{"people": [{"keypoints": "no"}], "human_spans": []}'


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("jpg", CUT), ("jpg", b""), ("json", b"{"), ("json", b"[]"), ("json", NO_NUMBERS),
        ("mask.png", b"\x89PNG\r\n\x1a\n cut"), ("mask.png", CUT),
    ],
)  # fmt: skip
def test_another_stands_in_for_a_broken_sample(
    version: DatasetVersion, tiny_tokenizer: CLIPTokenizer, suffix: str, content: bytes
) -> None:
    before = stored(version, tiny_tokenizer, SQUARE, 6)
    shard = version.shards[1]
    broken = spoil(version, shard, suffix, content)
    after = stored(version, tiny_tokenizer, SQUARE, 6)
    assert [state for _, state in after] == [state for _, state in before]
    bad = [each for batch, _ in after for each in batch.bad]
    assert [(each.key, shard in each.shard) for each in bad] == [(broken, True)]
    assert bad[0].reason
    for (old, _), (new, _) in zip(before, after, strict=True):
        for key, stands in zip(old.keys, new.keys, strict=True):
            assert (stands == key) == (key != broken)
    again = stored(version, tiny_tokenizer, SQUARE, 3, state=after[2][1])
    assert [b.keys for b, _ in again] == [b.keys for b, _ in after[3:]]  # the same stand-in


@pytest.mark.parametrize("config", [SQUARE, BUCKETS], ids=["square", "buckets"])
def test_a_lost_shard_costs_no_batch_and_is_counted(
    version: DatasetVersion, tiny_tokenizer: CLIPTokenizer, config: DataConfig
) -> None:
    before = stored(version, tiny_tokenizer, config, 24)
    Path(version.root.shard(version.shards[0], "tar")).unlink()
    after = stored(version, tiny_tokenizer, config, 24)
    assert [state for _, state in after] == [state for _, state in before]
    assert [b.pixels.shape for b, _ in after] == [b.pixels.shape for b, _ in before]
    assert [b.keys for b, _ in after] != [b.keys for b, _ in before]
    bad = [each for batch, _ in after for each in batch.bad]
    assert len(bad) == 4 * 4  # in four epochs
    assert {version.shards[0] in each.shard for each in bad} == {True}
    ranks = [
        stored(version, tiny_tokenizer, config, 12, rank=rank, world_size=2) for rank in range(2)
    ]
    mixed = [batch.keys for turn in zip(*ranks, strict=True) for batch, _ in turn]
    assert mixed == [batch.keys for batch, _ in after]


def test_a_version_that_cannot_be_read_at_all_is_an_error(
    version: DatasetVersion, tiny_tokenizer: CLIPTokenizer
) -> None:
    for shard in version.shards:
        Path(version.root.shard(shard, "tar")).write_bytes(b"no tar")
    with pytest.raises(ShardError, match="nor can any that may stand in"):
        stored(version, tiny_tokenizer, SQUARE, 1)
