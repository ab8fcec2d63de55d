"""A step from the cache is the step from pixels; what cannot be read is counted, not guessed."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPTokenizer

from hcp.config import HcpConfig
from hcp.training.batches import Batch
from hcp.training.cache_read import CacheReader
from hcp.training.config import CacheConfig
from hcp.training.denoising import encode, step_generator
from hcp.training.state import load_checkpoint, save_checkpoint
from hcp.training.trainer import Trainer, train_steps
from storage.errors import ShardError
from tests.hcp.layouts import layout_pipeline
from tests.hcp.training.cached import (
    CONFIG,
    make_version,
    samples,
    stream,
    with_data,
    write_cache,
)

MakePipeline = Callable[[int], StableDiffusionPipeline]


def batches(version: Any, tokenizer: Any, n: int, **options: Any) -> list[Batch]:
    return [batch for batch, _ in islice(stream(version, tokenizer, **options), n)]


def assert_same(pipeline: Any, cached: Batch, photos: Batch) -> None:
    """All that a method sees of a batch is exact; what the encoders made, to their rounding."""
    assert cached.keys == photos.keys
    assert cached.captions == photos.captions
    assert cached.pixels.shape[-2:] == photos.pixels.shape[-2:]
    for name in ("input_ids", "token_kinds", "masks", "time_ids"):
        assert torch.equal(getattr(cached, name), getattr(photos, name)), name
    for one, other in zip(cached.keypoints, photos.keypoints, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)  # rounded to 0.01 px in shards
    one, other = (encode(pipeline, b, step_generator(0, 0, 0, 0)) for b in (cached, photos))
    torch.testing.assert_close(one.latents, other.latents, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.text, other.text, rtol=1e-4, atol=1e-5)
    assert (one.added is None) == (other.added is None)
    for name in one.added or ():
        torch.testing.assert_close(one.added[name], other.added[name], rtol=1e-4, atol=1e-5)


def test_cached_batches_are_those_of_the_photos(
    make_pipeline: MakePipeline, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline = make_pipeline(0)
    pipeline.save_pretrained(tmp_path / "base")
    drawn = samples(9)
    version = make_version(tmp_path / "data", drawn[:5], drawn[5:])
    cache = write_cache(version, pipeline, tmp_path / "base")
    found = batches(version, None, 10, cache=cache)  # the tokenizer is not asked
    for cached, photos in zip(found, batches(version, tiny_tokenizer, 10), strict=True):
        assert_same(pipeline, cached, photos)
    captions = {caption for batch in found for caption in batch.captions}
    assert captions >= {"", "a man on the left of a dog", "a man on the right of a dog"}


def test_buckets_of_the_first_epoch_are_those_of_the_photos(
    make_pipeline: MakePipeline, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    """A wide photo has many square crops: the cached one is that of epoch 0."""
    pipeline = make_pipeline(0)
    pipeline.save_pretrained(tmp_path / "base")
    config = with_data(CONFIG, aspects=(1.0, 2.0))
    version = make_version(tmp_path / "data", samples(16, sizes_px=((96, 48), (96, 96), (96, 48))))
    cache = write_cache(version, pipeline, tmp_path / "base", config)
    found = batches(version, None, 8, cache=cache, config=config)
    expected = batches(version, tiny_tokenizer, 8, config=config)
    for cached, photos in zip(found, expected, strict=True):
        assert_same(pipeline, cached, photos)
    assert {tuple(batch.pixels.shape[-2:]) for batch in found} == {(32, 32), (24, 48)}


def test_sdxl_has_both_texts_in_the_cache(tiny_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    pipeline = layout_pipeline("sdxl", tiny_tokenizer)
    pipeline.save_pretrained(tmp_path / "base")
    version = make_version(tmp_path / "data", samples(4))
    config = with_data(CONFIG, caption_dropout=0.5)
    cache = write_cache(version, pipeline, tmp_path / "base", config)
    found = batches(version, None, 4, cache=cache, config=config)
    expected = batches(version, tiny_tokenizer, 4, config=config)
    for cached, photos in zip(found, expected, strict=True):
        assert_same(pipeline, cached, photos)
    dropped = [b.cached.pooled[i] for b in found for i, c in enumerate(b.captions) if not c]
    assert dropped
    assert not any(pooled.any() for pooled in dropped)  # as the pipeline's own empty prompt


def losses(trainer: Trainer, steps: Any, until: int) -> list[tuple[float, float, float]]:
    found = train_steps(trainer, steps, until=until)
    return [(m.loss, m.denoise, m.alignment) for m in found]


def test_training_from_the_cache_is_training_from_photos(
    make_pipeline: MakePipeline, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    make_pipeline(0).save_pretrained(tmp_path / "base")
    version = make_version(tmp_path / "data", samples(5))
    cache = write_cache(version, make_pipeline(0), tmp_path / "base")
    config = replace(CONFIG, steps=6, learning_rate=1e-3, hcp=HcpConfig(width=16))
    bare = make_pipeline(0)
    bare.vae, bare.text_encoder = None, None
    from_cache = losses(Trainer(bare, config), stream(version, None, cache=cache), 6)
    photos = losses(Trainer(make_pipeline(0), config), stream(version, tiny_tokenizer), 6)
    assert from_cache == [pytest.approx(each, rel=1e-4) for each in photos]


def test_a_run_from_the_cache_resumes_exactly(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    make_pipeline(0).save_pretrained(tmp_path / "base")
    config = replace(
        with_data(CONFIG, min_crop_scale=0.6),
        cache=CacheConfig(use="required", crops=3), hcp=HcpConfig(width=16),
    )  # fmt: skip
    version = make_version(tmp_path / "data", samples(5))
    cache = write_cache(version, make_pipeline(0), tmp_path / "base", config)

    def steps(trainer: Trainer) -> Any:
        return stream(version, None, cache=cache, config=config, state=trainer.loader)

    whole, first, second = (Trainer(make_pipeline(0), config) for _ in range(3))
    expected = losses(whole, steps(whole), 7)
    head = losses(first, steps(first), 4)
    save_checkpoint(tmp_path / "step-4", first)
    load_checkpoint(tmp_path / "step-4", second)
    assert head + losses(second, steps(second), 7) == expected


def test_several_crops_are_all_used(make_pipeline: MakePipeline, tmp_path: Path) -> None:
    make_pipeline(0).save_pretrained(tmp_path / "base")
    config = with_data(CONFIG, min_crop_scale=0.5, flip_probability=0.0)
    config = replace(config, cache=CacheConfig(use="required", crops=2, dtype="float32"))
    version = make_version(tmp_path / "data", samples(1))
    cache = write_cache(version, make_pipeline(0), tmp_path / "base", config)
    found = batches(version, None, 8, cache=cache, config=config)
    assert len({row.numpy().tobytes() for batch in found for row in batch.cached.mean}) == 2


def test_half_precision_on_disk_is_near(
    make_pipeline: MakePipeline, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline = make_pipeline(0)
    pipeline.save_pretrained(tmp_path / "base")
    version = make_version(tmp_path / "data", samples(3))
    (photos,) = batches(version, tiny_tokenizer, 1)
    expected = encode(pipeline, photos, step_generator(0, 0, 0, 0))
    for dtype, tolerance in (("float16", 2e-3), ("bfloat16", 2e-2)):
        config = replace(CONFIG, cache=CacheConfig(use="required", dtype=dtype))
        cache = write_cache(version, pipeline, tmp_path / "base", config)
        (cached,) = batches(version, None, 1, cache=cache, config=config)
        found = encode(pipeline, cached, step_generator(0, 0, 0, 0))
        assert found.latents.dtype == torch.float32
        torch.testing.assert_close(found.latents, expected.latents, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(found.text, expected.text, rtol=tolerance, atol=tolerance)


def test_another_sample_stands_in_for_one_that_was_not_encoded(
    make_pipeline: MakePipeline, tmp_path: Path
) -> None:
    make_pipeline(0).save_pretrained(tmp_path / "base")
    drawn = samples(5)
    drawn[2] = replace(drawn[2], image_jpeg=b"no photo")
    version = make_version(tmp_path / "data", drawn)
    cache = write_cache(version, make_pipeline(0), tmp_path / "base")
    found = batches(version, None, 3, cache=cache)
    (bad,) = {each for batch in found for each in batch.bad}
    assert bad.key == drawn[2].key
    assert "could not be encoded: PictureError" in bad.reason
    assert drawn[2].key not in {key for batch in found for key in batch.keys}
    with pytest.raises(ShardError, match="could not be encoded"):
        CacheReader(cache).open(version.shards[0]).sample(drawn[2].key)
