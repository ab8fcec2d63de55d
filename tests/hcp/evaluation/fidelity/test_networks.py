"""Feature networks of tiny random models in local folders, told by their configs."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BitImageProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    Dinov2Config,
    Dinov2Model,
    ViTConfig,
)

from hcp.evaluation.fidelity.distances import cmmd, fid, kid
from hcp.evaluation.fidelity.networks import inception_space, transformers_space
from storage.errors import MissingExtraError, WeightsError

WIDTH: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
SIDE = {"height": 28, "width": 28}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    text = CLIPTextConfig(vocab_size=64, max_position_embeddings=16, **WIDTH)
    vision = CLIPVisionConfig(image_size=28, patch_size=14, **WIDTH)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16
    )
    CLIPModel(config).save_pretrained(tmp_path / "clip")
    processor = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=SIDE)
    processor.save_pretrained(tmp_path / "clip")
    return tmp_path / "clip"


@pytest.fixture
def dinov2(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    Dinov2Model(Dinov2Config(image_size=28, patch_size=14, **WIDTH)).save_pretrained(
        tmp_path / "dino"
    )
    processor = BitImageProcessor(size={"shortest_edge": 28}, crop_size=SIDE)
    processor.save_pretrained(tmp_path / "dino")
    return tmp_path / "dino"


def photos() -> list[Any]:
    return list(np.random.default_rng(0).integers(0, 256, size=(24, 40, 40, 3), dtype=np.uint8))


@pytest.mark.parametrize(("which", "width"), [("clip", 16), ("dinov2", 32)])
def test_a_folder_is_told_by_its_config(
    which: str, width: int, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(which)
    space = transformers_space(str(folder))
    assert space.name == f"{which} {folder.name}"
    assert space.is_clip == (which == "clip")
    same = space.embed(photos())
    assert same.shape == (24, width)
    assert space.embed(photos()[3:4])[0] == pytest.approx(same[3], abs=1e-4)
    dark = space.embed([photo // 4 for photo in photos()])
    for distance in (kid, fid, cmmd):
        assert distance(same, same) < distance(dark, same)


def test_clips_features_are_its_image_embeddings(clip: Path) -> None:
    model: Any = CLIPModel.from_pretrained(clip)
    pixels = CLIPImageProcessor.from_pretrained(clip)(photos()[:3], return_tensors="pt")
    with torch.no_grad():
        expected = model(
            input_ids=torch.zeros(1, 4, dtype=torch.long), pixel_values=pixels["pixel_values"]
        ).image_embeds
    found = torch.from_numpy(transformers_space(str(clip)).embed(photos()[:3]))
    torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), expected)


def test_a_network_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="gone"):
        transformers_space(str(tmp_path / "gone"))
    Dinov2Model(Dinov2Config(image_size=28, patch_size=14, **WIDTH)).save_pretrained(tmp_path)
    broken = load_file(tmp_path / "model.safetensors")
    broken.pop("layernorm.weight")
    save_file(broken, tmp_path / "model.safetensors", metadata={"format": "pt"})
    BitImageProcessor().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"lack 1 .*layernorm\.weight"):
        transformers_space(str(tmp_path))
    ViTConfig(**WIDTH).save_pretrained(tmp_path / "vit")
    with pytest.raises(WeightsError, match=r"is a 'vit'; expected .*dinov2"):
        transformers_space(str(tmp_path / "vit"))


def test_inception_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hcp\[inception\]'"):
        inception_space(tmp_path / "weights.pth")


@pytest.mark.slow
def test_inception_gives_its_last_pooling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network = library.FeatureExtractorInceptionV3
    torch.save({"of": "another model"}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth does not hold its weights"):
        inception_space(tmp_path / "other.pth")
    with monkeypatch.context() as untrained:  # the layers' random weights, as a file
        untrained.setattr(network, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        whole = network("inception-v3-compat", ["2048"], str(tmp_path / "other.pth"))
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    space = inception_space(tmp_path / "weights.pth")
    found = space.embed(photos()[:2])
    assert found.shape == (2, 2048)
    batch = torch.from_numpy(np.stack(photos()[:2])).permute(0, 3, 1, 2)
    assert found == pytest.approx(whole(batch)[0].numpy(), abs=1e-5)
