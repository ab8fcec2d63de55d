"""Likeness of pictures to texts (CLIP score) and to photos (FID, KID), with networks from outside.

Their weights may be unreachable, so each is optional: the evaluation says "not measured" and why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from storage.errors import WeightsError
from storage.extras import explained_imports

TextScorer = Callable[[Sequence[NDArray[np.uint8]], Sequence[str]], list[float]]
"""Pictures (HWC uint8) and their prompts -> one score per picture, larger is closer."""

MIN_PICTURES = 16
"""Fewer pictures give distances between distributions that mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """Distances between generated pictures and photos; smaller is closer."""

    fid: float
    kid: float


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


class ClipFeatures(nn.Module):
    """CLIP's image embeddings as the feature network of FID and KID."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self._model, self._processor = model, processor

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] -> float [N, D]."""
        inputs = self._processor(images=list(images.cpu()), return_tensors="pt")
        vision = self._model.vision_model(inputs["pixel_values"].to(self._model.device))
        return self._model.visual_projection(vision.pooler_output)


def clip_features(name_or_dir: str, *, device: str = "cpu") -> nn.Module:
    """A CLIP model whose image embeddings FID and KID are measured in.

    Raises:
        WeightsError: the CLIP model cannot be loaded; the message says from where.
    """
    model, processor = _load_clip(name_or_dir, device)
    return ClipFeatures(model, processor.image_processor)


def _load_clip(name_or_dir: str, device: str) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPProcessor

    try:
        model: Any = CLIPModel.from_pretrained(name_or_dir, use_safetensors=True)
        processor: Any = CLIPProcessor.from_pretrained(name_or_dir)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsError(
            f"CLIP model {name_or_dir!r} cannot be loaded ({str(error)[:200]})"
        ) from error
    return model.to(device).eval(), processor


def distribution_distances(
    features: nn.Module,
    photos: Sequence[NDArray[np.uint8]],
    pictures: Sequence[NDArray[np.uint8]],
    *,
    batch_size: int = 16,
) -> Distances:
    """FID and KID (times one, not times 1000) between photos and pictures, in any feature space.

    Only Inception-v3's pool3 features give numbers that compare with the literature.

    Args:
        features: uint8 images [N, 3, H, W] -> features [N, D], float.
        photos: HWC uint8, all of one size.
        pictures: HWC uint8, all of one size.
    Raises:
        ValueError: fewer than 16 photos or pictures.
    """
    if min(len(photos), len(pictures)) < MIN_PICTURES:
        raise ValueError(
            f"FID and KID need {MIN_PICTURES} photos and pictures, "
            f"got {len(photos)} and {len(pictures)}"
        )
    with explained_imports():
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance

    fid: Any = FrechetInceptionDistance(feature=features)
    subset = min(50, len(photos), len(pictures))
    kid: Any = KernelInceptionDistance(feature=features, subset_size=subset)
    for images, real in ((photos, True), (pictures, False)):
        for start in range(0, len(images), batch_size):
            part = np.stack(images[start : start + batch_size])
            batch = torch.from_numpy(part).permute(0, 3, 1, 2).contiguous()
            fid.update(batch, real=real)
            kid.update(batch, real=real)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # KID draws random subsets
        kid_mean: Tensor = kid.compute()[0]
    return Distances(fid=float(fid.compute()), kid=float(kid_mean))
