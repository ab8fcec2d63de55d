import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from hcp.base import (
    ENCODERS,
    frozen_modules,
    load_base,
    native_size_px,
    text_encoders,
)
from storage.errors import CheckpointError
from tests.hcp.layouts import layout_pipeline, layout_unet

UNKNOWN = "no-such-owner-hcp/no-such-model"


def test_a_saved_pipeline_loads_frozen(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "base")
    loaded = load_base(tmp_path / "base", dtype=torch.float32)
    assert not any(p.requires_grad for p in loaded.unet.parameters())
    assert not any(p.requires_grad for p in loaded.text_encoder.parameters())
    expected = pipeline.unet.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.unet.state_dict().items())


def test_sdxl_loads_with_both_text_encoders_frozen(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    layout_pipeline("sdxl", tiny_tokenizer).save_pretrained(tmp_path)
    loaded = load_base(tmp_path)
    assert type(loaded) is StableDiffusionXLPipeline
    encoders = text_encoders(loaded)
    assert len(encoders) == 2
    for module in (loaded.unet, *encoders):
        assert not any(p.requires_grad for p in module.parameters())


def test_another_kind_of_pipeline_is_refused(tiny_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    layout_pipeline("sd1", tiny_tokenizer, "img2img").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="got StableDiffusionImg2ImgPipeline"):
        load_base(tmp_path)


def test_a_directory_that_is_no_pipeline_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model_index\.json"):
        load_base(tmp_path)
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "Nothing"}))
    with pytest.raises(CheckpointError, match="StableDiffusionPipeline"):
        load_base(tmp_path)


def test_a_missing_path_is_not_taken_for_a_hub_id(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_base(tmp_path / "nowhere" / "model")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("HF_HUB_OFFLINE", True, "HF_HUB_OFFLINE is set"),
        ("ENDPOINT", "http://127.0.0.1:9", "could not be reached"),  # nothing listens there
    ],
    ids=["offline", "unreachable"],
)
def test_an_unknown_hub_id_ends_soon_with_one_clear_error(
    setting: str, value: object, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the hub client made of the environment variables when it was imported.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, setting, value)
    start = time.monotonic()
    with pytest.raises(CheckpointError, match=said) as caught:
        load_base(UNKNOWN)
    assert time.monotonic() - start < 15
    assert UNKNOWN in str(caught.value)
    assert str(constants.HF_HUB_CACHE) in str(caught.value)


def test_a_base_without_its_encoders_keeps_its_scale(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path)
    alone = load_base(tmp_path, without=ENCODERS)
    assert (alone.vae, alone.text_encoder) == (None, None)
    assert frozen_modules(alone) == [alone.unet]
    assert native_size_px(alone) == native_size_px(pipeline) == 32
    assert alone.tokenizer("a woman")["input_ids"] == pipeline.tokenizer("a woman")["input_ids"]


@pytest.fixture
def half(pipeline: StableDiffusionPipeline, tmp_path: Path) -> Path:
    """A folder with nothing but float16 weights."""
    pipeline.to(torch.float16).save_pretrained(tmp_path, variant="fp16")
    assert not list(tmp_path.rglob("diffusion_pytorch_model.safetensors"))
    return tmp_path


def test_a_folder_of_float16_variants_loads(half: Path, pipeline: StableDiffusionPipeline) -> None:
    loaded = load_base(half)
    assert loaded.unet.dtype == torch.float32
    for key, value in pipeline.unet.state_dict().items():
        assert torch.equal(loaded.unet.state_dict()[key], value.float())


def test_a_cached_hub_id_of_float16_variants_loads(
    half: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path_factory.mktemp("hub")
    repository = cache / "models--owner--tune"
    shutil.copytree(half, repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load_base("owner/tune", dtype=torch.float16).unet.dtype == torch.float16


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "unet/diffusion_pytorch_model.safetensors",
            "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3438167536\n",
            "Git LFS pointer, not the file of 3,438,167,536 bytes: .*git lfs pull",
        ),
        ("vae/diffusion_pytorch_model.safetensors", "<!doctype html>", "HTML page"),
        ("text_encoder/config.json", "version https://git-lfs.github.com/spec/v1\n", "LFS"),
        ("model_index.json", "<html>", "HTML page"),
        ("tokenizer/vocab.json", "version https://git-lfs.github.com/spec/v1\n", "LFS"),
        ("tokenizer/merges.txt", "<html>", "HTML page"),
        ("scheduler/scheduler_config.json", "<?xml version='1.0'?><Error>", "XML page"),
        ("text_encoder/model.safetensors", "Entry not found", "is a text, not weights"),
    ],
)
def test_what_a_download_left_in_a_folder_is_named(
    file: str, text: str, said: str, pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path)
    (tmp_path / "v1-5-pruned.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    load_base(tmp_path)  # what is not read may be missing
    (tmp_path / file).write_text(text)
    with pytest.raises(CheckpointError, match=said):
        load_base(tmp_path)


def test_b02_only_some_parts_may_be_of_a_variant(
    pipeline: StableDiffusionPipeline, half: Path
) -> None:
    pipeline.vae.to(torch.float32)
    for file in (half / "vae").glob("*.safetensors"):
        file.unlink()
    pipeline.vae.save_pretrained(half / "vae")
    for name in ("unet", "text_encoder"):
        (half / name / "README.md").write_text("what the hub shows")
    loaded = load_base(half)
    assert torch.equal(
        loaded.vae.state_dict()["quant_conv.weight"], pipeline.vae.state_dict()["quant_conv.weight"]
    )
    plain = half / "vae" / "diffusion_pytorch_model.safetensors"
    plain.write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        load_base(half)


def test_b02_a_file_that_diffusers_stumbles_over_is_named(half: Path) -> None:
    (half / "unet" / "LICENSE").write_text("open")
    with pytest.raises(CheckpointError, match=r"fp16 .*move .*unet/LICENSE elsewhere"):
        load_base(half)


def test_b02_pickles_alone_are_named(pipeline: StableDiffusionPipeline, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path)
    weights = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(CheckpointError, match=r"model\.bin and no \.safetensors .*save_pretrained"):
        load_base(tmp_path)


def test_b01_a_folder_of_single_files_says_to_name_one(tmp_path: Path) -> None:
    (tmp_path / "dreams.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"name it: dreams\.safetensors"):
        load_base(tmp_path)


@pytest.mark.parametrize("channels", [8, 9])
def test_a_unet_for_editing_is_refused(
    channels: int, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline = layout_pipeline("sd1", tiny_tokenizer)
    pipeline.unet = layout_unet("sd1", in_channels=channels)
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=f"takes {channels} channels"):
        load_base(tmp_path)


def test_b03_weights_that_do_not_fit_are_an_error_of_ours(
    pipeline: StableDiffusionPipeline, tmp_path: Path
) -> None:
    pipeline.save_pretrained(tmp_path)
    unet, vae = (tmp_path / n / "diffusion_pytorch_model.safetensors" for n in ("unet", "vae"))
    text = tmp_path / "text_encoder" / "model.safetensors"
    whole = unet.read_bytes(), text.read_bytes()
    shutil.copy(vae, unet)
    with pytest.raises(CheckpointError, match=r"/unet are not those of its config\.json"):
        load_base(tmp_path)
    unet.write_bytes(whole[0])
    tensors = load_file(text)
    tensors.popitem()
    save_file(tensors, text, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"/text_encoder are not those of .*CLIPTextModel"):
        load_base(tmp_path)
    text.write_bytes((8).to_bytes(8, "little") + b'{"a": 1}')
    with pytest.raises(CheckpointError, match="header lists no tensors"):
        load_base(tmp_path)
    text.write_bytes(whole[1])
    load_base(tmp_path)
