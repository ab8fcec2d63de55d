"""One file loads as the pipeline that it was made from; anything else is named as what it is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from hcp.base import ENCODERS, load_base, native_size_px, text_encoders
from hcp.single_file import clip_tokenizer, file_layout
from storage.errors import CheckpointError
from tests.hcp.layouts import LAYOUTS, Layout, layout_pipeline
from tests.hcp.single_files import original_tensors, save_single_file, saved


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_loads_as_the_pipeline_that_it_was(
    layout: Layout, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline, path = saved(layout, tiny_tokenizer, tmp_path)
    loaded = load_base(path)
    assert type(loaded) is type(pipeline)
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        part = getattr(pipeline, name, None)
        if part is None:
            continue
        weights = getattr(loaded, name).state_dict()
        assert weights.keys() == part.state_dict().keys()
        for key, value in part.state_dict().items():
            assert torch.equal(weights[key], value), (name, key)
    assert native_size_px(loaded) == native_size_px(pipeline)
    assert loaded.scheduler.config.prediction_type == pipeline.scheduler.config.prediction_type
    settings: Any = {
        "device": "cpu", "num_images_per_prompt": 1, "do_classifier_free_guidance": False
    }  # fmt: skip
    ours, theirs = (p.encode_prompt("a woman dancing", **settings)[0] for p in (loaded, pipeline))
    assert torch.equal(ours, theirs)


def test_without_encoders_and_in_half_precision(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline, path = saved("sd1", tiny_tokenizer, tmp_path)
    loaded = load_base(path, dtype=torch.bfloat16, without=ENCODERS)
    assert loaded.vae is None
    assert not text_encoders(loaded)
    assert loaded.unet.dtype == torch.bfloat16
    assert native_size_px(loaded) == native_size_px(pipeline)


def test_a_file_whose_settings_do_not_fit_says_where_they_are_read_from(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.safetensors"
    save_single_file(layout_pipeline("sd1", tiny_tokenizer), path)
    with pytest.raises(CheckpointError, match=r"do not fit .*read from .*tiny/"):
        load_base(path)


def test_missing_tensors_are_told(tiny_tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    pipeline, path = saved("sd1", tiny_tokenizer, tmp_path)
    tensors = original_tensors(pipeline)
    del tensors["model.diffusion_model.out.2.bias"]
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)
    with pytest.raises(CheckpointError, match=r"weights of its U-Net are there"):
        load_base(path)


UNET = "model.diffusion_model.input_blocks.0.0.weight"
SD1 = {
    UNET: (320, 4, 3, 3),
    "cond_stage_model.transformer.text_model.final_layer_norm.bias": (768,),
    "first_stage_model.quant_conv.bias": (8,),
}


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"lora_unet_mid_block.alpha": ()}, "a LoRA"),
        ({"unet.mid_block.lora_A.weight": (4, 4)}, "a LoRA"),
        ({"hcp.mid.gate": (1,)}, "an HcP adapter"),
        ({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (1,)}, "FLUX"),
        ({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (1,)}, "Diffusion 3"),
        ({"down_blocks.0.resnets.0.norm1.weight": (1,)}, "diffusers layout"),
        ({UNET: (320, 4, 3, 3)}, "without its text encoder"),
        ({UNET: (320, 4, 3, 3), "conditioner.embedders.0.model.ln_final.bias": (1,)}, "refiner"),
        (SD1 | {UNET: (320, 9, 3, 3)}, "9 channels, as for inpainting"),
        ({k: v for k, v in SD1.items() if "first_stage" not in k}, "no VAE"),
        ({"bert.weight": (1,)}, "unknown tensors"),
    ],
)
def test_what_is_no_base_is_named(shapes: dict[str, tuple[int, ...]], said: str) -> None:
    assert file_layout(SD1, "x") == "sd1"
    with pytest.raises(CheckpointError, match=said):
        file_layout(shapes, "x")


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"pickle \(\.ckpt\) can run code"):
        load_base(path)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 42\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"", "is empty"),
    ],
)
def test_what_a_download_left_is_named(head: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(head)
    with pytest.raises(CheckpointError, match=said):
        load_base(path)


def test_a_missing_file_is_not_taken_for_a_hub_id(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_base(tmp_path / "model.safetensors")


def test_the_tokenizer_is_clips() -> None:
    tokenizer = clip_tokenizer(pad_token="<|endoftext|>")
    assert len(tokenizer) == 49408
    # As openai/clip-vit-large-patch14 tokenizes them.
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    padded = clip_tokenizer(pad_token="!")("cat", padding="max_length").input_ids
    assert padded == [49406, 2368, 49407, *[0] * 74]


@pytest.mark.parametrize(("layout", "parameters"), [("sd1", 859520964), ("sd2", 865910724)])
def test_the_layouts_have_the_published_sizes(layout: Layout, parameters: int) -> None:
    assert unet_size(layout) == parameters


def test_sdxl_has_the_published_size() -> None:
    assert unet_size("sdxl") == 2567463684


def unet_size(layout: Layout) -> int:
    from importlib.resources import files

    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet: Any = UNet2DConditionModel
        found = unet.from_config(unet.load_config(str(files("hcp") / "layouts" / layout / "unet")))
    return sum(parameter.numel() for parameter in found.parameters())


@pytest.mark.parametrize("suffix", [".SAFETENSORS", ".SafeTensors"])
def test_b01_the_suffix_may_be_in_any_case(
    suffix: str, tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline, path = saved("sd1", tiny_tokenizer, tmp_path)
    loaded = load_base(path.rename(path.with_suffix(suffix)), without=ENCODERS)
    expected = pipeline.unet.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.unet.state_dict().items())


def test_b01_a_text_encoder_under_its_old_names_loads(
    tiny_tokenizer: CLIPTokenizer, tmp_path: Path
) -> None:
    pipeline, path = saved("sd1", tiny_tokenizer, tmp_path)
    tensors = {
        name.replace("transformer.text_model.", "transformer."): tensor.clone().contiguous()
        for name, tensor in original_tensors(pipeline).items()
    }
    save_file(tensors, path)
    loaded: Any = load_base(path)
    expected = pipeline.text_encoder.state_dict()
    found = loaded.text_encoder.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert load_base(path, without=ENCODERS).text_encoder is None
    last = "cond_stage_model.transformer.final_layer_norm.bias"
    tensors["cond_stage_model.transformer.other"] = tensors.pop(last)
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"text encoder .*final_layer_norm\.bias"):
        load_base(path)
