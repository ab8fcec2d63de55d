"""Sam of any size: the official layout and the embedded format."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from priors.sam import (
    SamConfig,
    build_sam,
    load_checkpoint,
    load_official_sam,
    load_sam,
    save_sam,
)
from priors.weights import resolve_weights
from storage.errors import WeightsError
from tests.left_files import LEFT
from tests.priors.sam_samples import SMALL, write_small_sam


@pytest.fixture
def small(tmp_path: Path) -> tuple[Sam, Path]:
    return write_small_sam(tmp_path / "sam"), tmp_path / "sam"


def test_the_layout_is_the_official_one() -> None:
    official = {k: v.shape for k, v in sam_model_registry["vit_b"]().state_dict().items()}
    assert {k: v.shape for k, v in build_sam(SamConfig()).state_dict().items()} == official


def test_save_and_load(small: tuple[Sam, Path]) -> None:
    sam, directory = small
    loaded = load_sam(directory)
    assert not loaded.training
    for name, tensor in sam.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_half_precision_storage_loads_to_float32(small: tuple[Sam, Path], tmp_path: Path) -> None:
    save_sam(small[0].half(), tmp_path / "half", config=SMALL)
    assert {t.dtype for t in load_sam(tmp_path / "half").state_dict().values()} == {torch.float32}


def test_what_does_not_fit_is_named(small: tuple[Sam, Path]) -> None:
    _, directory = small
    config = directory / "config.json"
    config.write_text(json.dumps(asdict(replace(SMALL, encoder_depth=3))))
    with pytest.raises(WeightsError, match="do not fit"):
        load_sam(directory)
    config.write_text("{}")
    with pytest.raises(WeightsError, match=r"config\.json"):
        load_sam(directory)
    config.unlink()
    with pytest.raises(WeightsError, match=r"config\.json is missing"):
        load_sam(directory)


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="image_size"):
        SamConfig(image_size=100)
    with pytest.raises(ValueError, match="encoder_embed_dim"):
        SamConfig(encoder_embed_dim=100)


@pytest.mark.slow
def test_an_official_checkpoint_loads(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b_0.pth"
    torch.manual_seed(0)
    torch.save(build_sam(SamConfig()).state_dict(), path)
    resolved = resolve_weights(path, trust=True)
    assert resolved.kind == "sam_vit_b"
    assert load_official_sam("vit_b", path).image_encoder.img_size == 1024


@pytest.mark.parametrize("kind", ["lfs", "html", "text", "empty"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_b03_what_a_download_left_in_a_sam_folder_is_named(
    name: str, kind: str, small: tuple[Sam, Path]
) -> None:
    _, directory = small
    data, said = LEFT[kind]
    (directory / name).write_bytes(data)
    if (name, kind) == ("config.json", "text"):  # any text may be settings
        said = "do not fit"
    with pytest.raises(WeightsError, match=said):
        load_sam(directory)


def test_b03_a_checkpoint_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sam_vit_b.pth"
    for data, said in (*LEFT.values(), (b"\x80\x02garbage\xff\xfe\x00", "not its checkpoint")):
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=said) as refused:
            load_checkpoint(lambda: build_sam(SMALL), path, name="Sam vit_b")
        assert "Sam vit_b" in str(refused.value)


def test_a_checkpoint_may_be_safetensors(tmp_path: Path) -> None:
    sam = build_sam(SMALL)
    path = tmp_path / "sam_vit_b.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in sam.state_dict().items()}, path)
    loaded = load_checkpoint(lambda: build_sam(SMALL), path, name="Sam vit_b")
    for name, tensor in sam.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
