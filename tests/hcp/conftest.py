"""A tiny Stable-Diffusion pipeline with random weights, and the embedded one where it exists."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

EMBEDDED = Path(__file__).parents[2] / "demo" / "weights" / "sd"
WORDS = (
    "a woman man doing yoga jumping running in the park beach with dog cat wooden table red car "
    "two people are on and blurry ugly dancing"
)
MAX_TOKENS = 16


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP tokenizer that knows letters and some whole words; others fall into letters."""
    vocab = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    merges: list[str] = []
    for char in "abcdefghijklmnopqrstuvwxyz0123456789,.'-":
        vocab[char] = len(vocab)
        vocab[f"{char}</w>"] = len(vocab)
    for word in WORDS.split():
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            merge = f"{pieces[0]} {pieces[1]}"
            if merge not in merges:
                merges.append(merge)
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
            vocab.setdefault(pieces[0], len(vocab))
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tokenizer_dir: Path) -> CLIPTokenizer:
    return CLIPTokenizer(
        str(tokenizer_dir / "vocab.json"),
        str(tokenizer_dir / "merges.txt"),
        model_max_length=MAX_TOKENS,
    )


def tiny_unet(*, text_dim: int = 32, seed: int = 0) -> UNet2DConditionModel:
    """Cross-attention at map scales 1 and 2 (down, up) and 4 (mid)."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text_dim,
        attention_head_dim=2,
        norm_num_groups=8,
    ).eval()


def tiny_pipeline(tokenizer: CLIPTokenizer, *, seed: int = 0) -> StableDiffusionPipeline:
    torch.manual_seed(seed)
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=2,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=32,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=tiny_unet(seed=seed),
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.unet.requires_grad_(requires_grad=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def pipeline(tiny_tokenizer: CLIPTokenizer) -> StableDiffusionPipeline:
    """A fresh tiny pipeline."""
    return tiny_pipeline(tiny_tokenizer)


@pytest.fixture(params=["tiny", "embedded"])
def any_pipeline(
    request: pytest.FixtureRequest, tiny_tokenizer: CLIPTokenizer
) -> StableDiffusionPipeline:
    """The tiny pipeline, and the embedded one of ``demo/weights/sd`` where that is there."""
    if request.param == "tiny":
        return tiny_pipeline(tiny_tokenizer)
    if not (EMBEDDED / "model_index.json").is_file():
        pytest.skip(f"no embedded pipeline at {EMBEDDED}")
    embedded = StableDiffusionPipeline.from_pretrained(
        EMBEDDED, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    )
    embedded.unet.requires_grad_(requires_grad=False)
    embedded.set_progress_bar_config(disable=True)
    return embedded


@pytest.fixture
def make_pipeline(tiny_tokenizer: CLIPTokenizer) -> Callable[[int], StableDiffusionPipeline]:
    """Tiny pipelines with the weights of a seed."""
    return lambda seed: tiny_pipeline(tiny_tokenizer, seed=seed)
