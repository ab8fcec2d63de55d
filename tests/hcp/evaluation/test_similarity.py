"""CLIP scores of a tiny random CLIP."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from hcp.evaluation.fidelity.networks import transformers_space
from hcp.evaluation.similarity import clip_text_scorer
from storage.errors import WeightsError
from tests.left_files import LEFT

PROMPTS = ("a woman", "a man doing yoga", "a red car")


@pytest.fixture(scope="module")
def clip(tiny_tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained CLIP model in a folder."""
    torch.manual_seed(0)
    width: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1}
    text = CLIPTextConfig(
        vocab_size=len(tiny_tokenizer), max_position_embeddings=16, num_attention_heads=4,
        bos_token_id=0, eos_token_id=1, pad_token_id=1, **width,
    )  # fmt: skip
    vision = CLIPVisionConfig(image_size=32, patch_size=8, num_attention_heads=4, **width)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16
    )
    folder = tmp_path_factory.mktemp("clip")
    CLIPModel(config).save_pretrained(folder)
    resize = {"height": 32, "width": 32}
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=resize)
    CLIPProcessor(image_processor=images, tokenizer=tiny_tokenizer).save_pretrained(folder)
    return folder


def test_clip_scores_are_cosines_whatever_the_batch(clip: Path) -> None:
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, size=(3, 40, 40, 3), dtype=np.uint8))
    together = clip_text_scorer(str(clip))(images, PROMPTS)
    by_two = clip_text_scorer(str(clip), batch_size=2)(images, PROMPTS)
    assert together == pytest.approx(by_two, abs=1e-3)
    assert all(0 <= score <= 100 for score in together)
    assert clip_text_scorer(str(clip))(images, PROMPTS[::-1]) != pytest.approx(together, abs=1e-3)
    assert clip_text_scorer(str(clip))([], []) == []


def test_a_clip_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no-clip"):
        clip_text_scorer(str(tmp_path / "no-clip"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("kind", ["lfs", "html"])
def test_b03_what_a_download_left_in_a_clip_folder_is_named(
    kind: str, name: str, clip: Path, tmp_path: Path
) -> None:
    shutil.copytree(clip, tmp_path, dirs_exist_ok=True)
    data, said = LEFT[kind]
    (tmp_path / name).write_bytes(data)
    for load in (clip_text_scorer, transformers_space):
        with pytest.raises(WeightsError, match=said):
            load(str(tmp_path))
