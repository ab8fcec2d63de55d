"""The tiny pipeline's parts, in Stable Diffusion's layout: 128 px pictures, 16 x 16 latents.

The networks' sizes stand once, in the configs beside the committed weights.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from demo.embedded import SD_DIR

MAX_TOKENS = 77


def write_tokenizer(
    folder: Path, captions: Iterable[str], *, vocabulary_size: int = 49_408
) -> CLIPTokenizer:
    """Train a byte-pair vocabulary on the captions and write it as a CLIP tokenizer.

    With room in the vocabulary each word of the captions is one token; others fall apart into
    smaller known pieces, single bytes at the worst. The same captions give the same files.
    """
    clip: Any = CLIPTokenizer()  # for its way of cutting text into words
    special = [clip.bos_token, clip.eos_token]
    alphabet = sorted(ByteLevel.alphabet())
    made: Any = Tokenizer(BPE(end_of_word_suffix="</w>"))
    made.normalizer, made.pre_tokenizer = (
        clip.backend_tokenizer.normalizer,
        clip.backend_tokenizer.pre_tokenizer,
    )
    trainer: Any = BpeTrainer(
        vocab_size=vocabulary_size - len(special),
        # given first and in order: the trainer counts words in the order of a hash
        special_tokens=[*alphabet, *(letter + "</w>" for letter in alphabet)],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    made.train_from_iterator(captions, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary_path, _ = made.model.save(str(folder))
    vocabulary = json.loads(Path(vocabulary_path).read_text("utf-8"))
    vocabulary |= {token: len(vocabulary) + i for i, token in enumerate(special)}
    Path(vocabulary_path).write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=MAX_TOKENS)


def make_vae() -> AutoencoderKL:
    """An untrained autoencoder, 8 times smaller latents with 4 channels.

    It starts with next to no latent noise (log variance -6): a unit start would cost a short
    training most of its time to get rid of.
    """
    vae = _untrained(AutoencoderKL, "vae")
    with torch.no_grad():
        vae.quant_conv.weight[4:].zero_()
        vae.quant_conv.bias[4:] = -6.0
    return vae


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained CLIP-layout text encoder for the tokenizer's vocabulary."""
    special: Any = tokenizer  # its token ids are typed as if they could be lists
    config: Any = CLIPTextConfig.from_pretrained(SD_DIR, subfolder="text_encoder")
    config.vocab_size = len(tokenizer)
    config.bos_token_id, config.eos_token_id = special.bos_token_id, special.eos_token_id
    config.pad_token_id = special.pad_token_id
    return CLIPTextModel(config)


def make_unet() -> UNet2DConditionModel:
    """An untrained U-Net with cross-attention at map sizes 16, 8 and 4 (down, mid, up)."""
    return _untrained(UNet2DConditionModel, "unet")


def make_scheduler() -> DDIMScheduler:
    """The noise schedule of Stable Diffusion 1.x."""
    return _untrained(DDIMScheduler, "scheduler")


def _untrained(kind: Any, part: str) -> Any:
    return kind.from_config(kind.load_config(SD_DIR, subfolder=part))


def save_pipeline(
    folder: Path,
    *,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
) -> None:
    """Write the parts as a StableDiffusionPipeline in half precision, safetensors only.

    The networks are converted in place; pass copies to go on training.
    """
    make: Any = StableDiffusionPipeline  # typed narrower than what it takes
    pipeline = make(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    for path in folder.glob("*/config.json"):
        # no paths of this machine; and half precision is for storage only
        config = {k: v for k, v in json.loads(path.read_text()).items() if k != "_name_or_path"}
        if "dtype" in config:
            config["dtype"] = "float32"
        path.write_text(json.dumps(config, indent=2) + "\n")


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    """The pipeline of ``save_pipeline`` in float32, without a progress bar."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        str(folder), safety_checker=None, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
