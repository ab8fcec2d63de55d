"""Which cache fits: the same encoders and settings, and a refusal that names what differs."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from hcp.training.cache import base_digest, base_parts, cache_settings, settled, usable_cache
from hcp.training.config import CacheConfig, TrainConfig
from storage.caches import Cache
from storage.errors import CacheError, CheckpointError
from storage.versions import DatasetVersion, publish_version
from tests.hcp.layouts import layout_pipeline
from tests.hcp.single_files import save_settings, save_single_file
from tests.hcp.training.cached import CONFIG, make_version, samples, with_data, write_cache

MakePipeline = Callable[[int], StableDiffusionPipeline]


@pytest.fixture
def base(make_pipeline: MakePipeline, tmp_path: Path) -> Path:
    make_pipeline(0).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def usable(version: DatasetVersion, config: TrainConfig, base: str) -> Cache:
    return usable_cache(version, cache_settings(config, base_parts(base)), base)


def test_a_cache_of_another_base_is_refused_by_name(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    make_pipeline(1).save_pretrained(tmp_path / "other")
    version = make_version(tmp_path / "data", samples(3))
    cache = write_cache(version, make_pipeline(0), base)
    assert usable(version, CONFIG, str(base)) == cache
    with pytest.raises(CacheError) as refused:
        usable(version, CONFIG, str(tmp_path / "other"))
    said = str(refused.value)
    mine, others = base_parts(str(tmp_path / "other")), base_parts(str(base))
    assert f"of base '{tmp_path / 'other'}'" in said
    assert f"cache {cache.digest} is of base 'base': base.text_encoder is " in said
    assert f"base.vae is {others['vae'][:12]}, this training has {mine['vae'][:12]}" in said
    assert "tokenizer" not in said  # that one is the same


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (with_data(CONFIG, resolution_px=64), "resolution_px is 32, this training has 64"),
        (with_data(CONFIG, aspects=(2.0, 1.0)), r"aspects is \[1.0\], this training has \[1.0, 2"),
        (with_data(CONFIG, flip_probability=0.0), "flips is True, this training has False"),
        (replace(CONFIG, cache=replace(CONFIG.cache, crops=2)), "crops is 1, this training has 2"),
        (replace(CONFIG, cache=CacheConfig(dtype="float16")), "dtype is float32"),
    ],
)
def test_a_cache_of_other_settings_is_refused(
    config: TrainConfig, said: str, make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    version = make_version(tmp_path / "data", samples(2))
    write_cache(version, make_pipeline(0), base)
    with pytest.raises(CacheError, match=said):
        usable(version, config, str(base))


def test_what_shapes_no_example_changes_no_cache(base: Path) -> None:
    parts = base_parts(str(base))
    other = with_data(
        replace(CONFIG, steps=9, batch_size=1, seed=3), caption_dropout=0.5, flip_probability=0.9,
        decode_threads=3, aspects=(1.0,),
    )  # fmt: skip
    assert cache_settings(other, parts) == cache_settings(CONFIG, parts)
    assert json.loads(json.dumps(cache_settings(CONFIG, parts))) == cache_settings(CONFIG, parts)


def test_the_next_version_needs_its_new_shards_alone(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    drawn = samples(4)
    first = make_version(tmp_path / "data", drawn[:2])
    cache = write_cache(first, make_pipeline(0), base)
    alone = make_version(tmp_path / "data", drawn[2:])
    both = publish_version(first.root, [*first.shards, *alone.shards], config={})
    with pytest.raises(CacheError, match=f"holds 1 of the 2 shards of version {both.id}"):
        usable(both, CONFIG, str(base))
    write_cache(alone, make_pipeline(0), base)
    assert usable(both, CONFIG, str(base)) == cache


def test_no_cache_at_all_says_how_to_make_one(base: Path, tmp_path: Path) -> None:
    version = make_version(tmp_path / "data", samples(2))
    with pytest.raises(CacheError, match="`hcp cache` makes one"):
        usable(version, CONFIG, str(base))


def test_a_base_is_known_by_its_content(
    make_pipeline: MakePipeline, base: Path, tmp_path: Path
) -> None:
    parts = base_parts(str(base))
    assert set(parts) == {"vae", "text_encoder", "tokenizer", "pipeline"}
    config = base / "vae" / "config.json"  # as another version of the library writes it
    facts = json.loads(config.read_text()) | {"_diffusers_version": "99", "_name_or_path": "x"}
    config.write_text(json.dumps(facts, indent=4))
    assert base_parts(str(base)) == parts
    (base / "unet" / "config.json").write_text("{}")
    assert base_parts(str(base)) == parts
    config.write_text(json.dumps(facts | {"scaling_factor": 1.0}))
    changed = base_parts(str(base))
    assert {name for name in parts if parts[name] != changed[name]} == {"vae"}
    own = {"latents_mean": [0.0] * 4, "latents_std": [1.0] * 4}  # b04: cached otherwise before
    config.write_text(json.dumps(facts | own))
    assert base_parts(str(base)).keys() - parts.keys() == {"latents"}
    weights = base / "text_encoder" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, weights)
    assert base_parts(str(base))["text_encoder"] != parts["text_encoder"]


def test_a_whole_base_is_known_by_its_unet_and_scheduler_too(base: Path) -> None:
    parts, whole = base_parts(str(base)), base_digest(str(base))
    assert base_digest(str(base)) == whole
    found = {whole}
    scheduler = base / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"beta_end": 0.02}))
    found.add(base_digest(str(base)))
    weights = next((base / "unet").glob("*.safetensors"))
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    found.add(base_digest(str(base)))
    assert len(found) == 3
    assert base_parts(str(base)) == parts


def test_sdxl_counts_both_encoders(tiny_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    layout_pipeline("sdxl", tiny_tokenizer).save_pretrained(tmp_path)
    assert set(base_parts(str(tmp_path))) >= {"text_encoder_2", "tokenizer_2"}


def test_a_base_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="expected the folders vae"):
        base_parts(str(tmp_path))


def test_an_open_resolution_is_the_bases(base: Path) -> None:
    config = with_data(CONFIG, resolution_px=None)
    assert settled(config, str(base)).data.resolution_px == 32
    assert settled(with_data(CONFIG, resolution_px=64), str(base)).data.resolution_px == 64


@pytest.fixture
def single(tiny_tokenizer: CLIPTokenizer, tmp_path: Path) -> Path:
    """One file, with its settings in the folder of its name."""
    pipeline, path = layout_pipeline("sd1", tiny_tokenizer), tmp_path / "tune.safetensors"
    save_single_file(pipeline, path)
    save_settings(pipeline, path.with_suffix(""))
    return path


def test_b01_a_single_file_is_known_by_its_content_and_its_settings(single: Path) -> None:
    parts, whole = base_parts(str(single)), base_digest(str(single))
    assert {"file", "tokenizer", "pipeline"} <= set(parts)
    config = with_data(CONFIG, resolution_px=None)
    assert settled(config, str(single)).data.resolution_px == 16
    scheduler = single.with_suffix("") / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"beta_end": 0.02}))
    assert base_parts(str(single)) == parts
    assert base_digest(str(single)) != whole
    tensors = {name: tensor + 1 for name, tensor in load_file(single).items()}
    save_file(tensors, single)
    assert base_parts(str(single))["file"] != parts["file"]


@pytest.mark.parametrize(("layout", "side_px"), [("sd1", 512), ("sd2", 768), ("sdxl", 1024)])
def test_b01_the_resolution_of_a_file_without_settings_is_its_layouts(
    layout: str, side_px: int, tmp_path: Path
) -> None:
    names = {"sd1": "cond_stage_model.transformer.x", "sd2": "cond_stage_model.model.x",
             "sdxl": "conditioner.embedders.1.model.x"}  # fmt: skip
    tensors = {names[layout]: torch.zeros(1), "first_stage_model.x": torch.zeros(1)}
    tensors["model.diffusion_model.input_blocks.0.0.weight"] = torch.zeros(2, 4, 1, 1)
    path = tmp_path / "published.safetensors"
    save_file(tensors, path)  # what is wanted is in its header: its weights are not read
    assert settled(with_data(CONFIG, resolution_px=None), str(path)).data.resolution_px == side_px


def test_b01_a_file_of_the_hub_is_the_file_in_its_cache(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "models--owner--tunes"
    (repository / "snapshots").mkdir(parents=True)
    shutil.copytree(single.with_suffix(""), repository / "snapshots" / ("a" * 40) / "tune")
    shutil.copy(single, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert base_digest("owner/tunes/tune.safetensors") == base_digest(str(single))
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        base_digest("owner/tunes/other.safetensors")
