"""What the writer keeps: the same bytes after a kill, and every sample or the reason why not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp.training.cache_write import CacheWriter
from hcp.training.config import CacheConfig
from storage.caches import CachedTar, cached_fingerprints, is_cached, read_cached_shard, read_card
from storage.errors import ShardError
from storage.locations import files_below
from storage.verify import verify_root
from tests.hcp.training.cached import CONFIG, make_version, samples, with_data, write_cache

MakePipeline = Callable[[int], StableDiffusionPipeline]


@pytest.fixture
def base(make_pipeline: MakePipeline, tmp_path: Path) -> Path:
    make_pipeline(0).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def content(cache) -> dict[str, bytes]:
    return {uri[len(cache.uri) :]: Path(uri).read_bytes() for uri in files_below(cache.uri)}


def test_a_killed_stage_goes_on_and_gives_the_same_bytes(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    drawn = samples(8)
    whole = make_version(tmp_path / "a", drawn[:4], drawn[4:])
    killed = make_version(tmp_path / "b", drawn[:4], drawn[4:])
    expected = write_cache(whole, make_pipeline(0), base)

    class Killed(BaseException):
        """As a signal would end it, while the second shard is written."""

    pipeline, calls = make_pipeline(0), 0
    encode = pipeline.vae.encode

    def encode_until_killed(pixels: torch.Tensor) -> object:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise Killed
        return encode(pixels)

    pipeline.vae.encode = encode_until_killed
    with pytest.raises(Killed):
        write_cache(killed, pipeline, base)
    half = read_card(killed.root, expected.digest)
    assert cached_fingerprints(half) == {killed.shards[0]}
    assert not any(".tmp-" in uri for uri in files_below(half.uri))

    writer = CacheWriter(make_pipeline(0), CONFIG, half)
    todo = [name for name in killed.shards if not is_cached(half, name)]
    assert todo == [killed.shards[1]]
    for name in todo:
        writer.write(name)
    assert content(half) == content(expected)
    assert verify_root(killed.root) == []


def test_the_batch_size_changes_no_more_than_rounding(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    version = make_version(tmp_path / "data", samples(5))
    cache = write_cache(version, make_pipeline(0), base)
    one = replace(CONFIG, cache=replace(CONFIG.cache, batch_size=1))
    assert write_cache(version, make_pipeline(0), base, one).digest == cache.digest


def test_what_cannot_be_encoded_is_named(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    drawn = samples(4)
    drawn[1] = replace(drawn[1], image_jpeg=drawn[1].image_jpeg[:200])
    version = make_version(tmp_path / "data", drawn)
    pipeline = make_pipeline(0)
    cache = write_cache(version, pipeline, base)
    info = read_cached_shard(cache, version.shards[0])
    assert list(info.bad) == [drawn[1].key]
    assert info.n_samples == 4

    with torch.no_grad():  # a VAE that gives more than half precision can hold
        pipeline.vae.quant_conv.bias.fill_(1e6)
    half = replace(CONFIG, cache=CacheConfig(use="required", dtype="float16"))
    info = read_cached_shard(write_cache(version, pipeline, base, half), version.shards[0])
    assert len(info.bad) == 4
    assert info.bad[drawn[0].key].endswith("are not finite in float16")


def test_poison_is_not_touched_and_a_probe_commits_nothing(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    drawn = samples(4)
    version = make_version(tmp_path / "data", drawn)
    cache = write_cache(version, make_pipeline(0), base)
    writer = CacheWriter(make_pipeline(0), CONFIG, replace(cache, settings={"other": 1}))
    (name,) = version.shards
    probed = dict(writer.members(name, only={drawn[2].key}))
    assert list(probed) == [drawn[2].key]
    assert cached_fingerprints(writer.cache) == set()
    info = writer.write(name, poison={drawn[2].key})
    assert info.bad == {drawn[2].key: "its worker died of it, several times"}


def test_a_shard_that_is_gone_is_an_error(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    version = make_version(tmp_path / "data", samples(2))
    Path(version.root.shard(version.shards[0], "tar")).unlink()
    with pytest.raises(ShardError, match="cannot be read"):
        write_cache(version, make_pipeline(0), base)


def test_mirror_images_are_kept_only_where_the_caption_allows(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    drawn = samples(4)  # the last caption names a sign
    version = make_version(tmp_path / "data", drawn)
    tar = CachedTar(write_cache(version, make_pipeline(0), base), version.shards[0])
    flips = {sample.caption: "0.flip.safetensors" in tar.suffixes(sample.key) for sample in drawn}
    assert flips["a man with a sign"] is False
    assert flips["a woman doing yoga"] is True
    never = with_data(CONFIG, flip_probability=0.0)
    tar = CachedTar(write_cache(version, make_pipeline(0), base, never), version.shards[0])
    assert not any("flip" in suffix for sample in drawn for suffix in tar.suffixes(sample.key))
