"""Likeness of pictures to texts (CLIP score), with a network from outside, which is optional."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from storage.errors import WeightsError
from storage.weight_files import check_model_folder

TextScorer = Callable[[Sequence[NDArray[np.uint8]], Sequence[str]], list[float]]
"""Pictures (HWC uint8) and their prompts -> one score per picture, larger is closer."""


def clip_text_scorer(name_or_dir: str, *, device: str = "cpu", batch_size: int = 16) -> TextScorer:
    """CLIP score of each picture: 100 max(0, cos(image, text)) (Hessel et al. 2021).

    Raises:
        WeightsError: the CLIP model cannot be loaded; the message says from where.
    """
    model, processor = _load_clip(name_or_dir, device)

    @torch.no_grad()
    def score(images: Sequence[NDArray[np.uint8]], texts: Sequence[str]) -> list[float]:
        scores: list[float] = []
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            inputs = processor(
                text=list(texts[part]), images=list(images[part]), return_tensors="pt",
                padding=True, truncation=True,
            ).to(device)  # fmt: skip
            out = model(**inputs)
            cosine = torch.cosine_similarity(out.image_embeds, out.text_embeds)
            scores += (100 * cosine.clamp_min(0)).tolist()
        return scores

    return score


def _load_clip(name_or_dir: str, device: str) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPProcessor

    check_model_folder(name_or_dir, f"CLIP model {name_or_dir!r}")
    try:
        model: Any = CLIPModel.from_pretrained(name_or_dir, use_safetensors=True)
        processor: Any = CLIPProcessor.from_pretrained(name_or_dir)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"CLIP model {name_or_dir!r} cannot be loaded ({str(error)[:200]})"
        ) from error
    return model.to(device).eval(), processor
