"""How much of a machine's memory one extractor takes: an estimate, so that a pool can be sized.

Measured on a CPU in float32 (torch 2.x): the attention over a whole picture dominates a Sam, at
3.25 times its map of heads x tokens x tokens: 2.4 GiB a photo for ViT-B, 3.2 for ViT-L and ViT-H.
"""

import json
from dataclasses import replace
from pathlib import Path

from priors.config import ExtractorConfig, ModelConfig
from priors.weights import ResolvedWeights, resolve_weights

GIB = 2**30

_PROCESS_GIB = 1.0  # Python, torch, Ray and the model packages
_CUDA_GIB = 2.0  # what a process with a GPU has in the machine's memory besides
_PHOTO_GIB = 12 / 1024  # a photo of four megapixels
_ATTENTION_COPIES = 3.25
_SAM_HEADS = {"sam_vit_h": 16, "sam_vit_l": 16, "sam_vit_b": 12}
_SAM_TOKENS = 64 * 64  # 1024 px in patches of 16
_MOBILE_GIB = 0.25  # a photo in MobileSAM
_YOLO_GIB = 0.16  # a photo of 640 px in the largest; 0.05 in the smallest


def extractor_gib(config: ExtractorConfig, *, on_gpu: bool) -> float:
    """What one extractor needs at its highest, GiB of the machine's memory (not of the GPU's).

    Raises:
        WeightsError: weights that cannot be had.
    """
    models = [(model, _weights(model)) for model in (config.pose, config.masks)]
    sizes = [_size_gib(weights) for _, weights in models]
    kept = 0.0 if on_gpu else sum(sizes)
    work = 0.0 if on_gpu else max(_work_gib(model, weights) for model, weights in models)
    loading = 2 * max(sizes)  # the file's tensors beside the model's own
    photos = 2 * (3 * config.batch_size + 2 * config.mask_batch_size)  # of two units
    base = _PROCESS_GIB + _CUDA_GIB * on_gpu + photos * _PHOTO_GIB
    return base + kept + max(loading - kept, work, 0.0)


def fitting_batches(
    config: ExtractorConfig, *, room_gib: float, on_gpu: bool
) -> tuple[ExtractorConfig, float]:
    """The config with batches halved until one extractor fits into so much memory, and its need.

    Batch sizes shape no shard but by rounding. Where even single photos do not fit, they are left
    as they were.
    """
    smaller, need = config, extractor_gib(config, on_gpu=on_gpu)
    while need > room_gib and max(smaller.batch_size, smaller.mask_batch_size) > 1:
        smaller = replace(
            smaller,
            batch_size=max(1, smaller.batch_size // 2),
            mask_batch_size=max(1, smaller.mask_batch_size // 2),
        )
        need = extractor_gib(smaller, on_gpu=on_gpu)
    return (smaller, need) if need <= room_gib else (config, extractor_gib(config, on_gpu=on_gpu))


def _weights(model: ModelConfig) -> ResolvedWeights:
    return resolve_weights(model.weights, trust=model.trust_weights)


def _size_gib(weights: ResolvedWeights) -> float:
    path = weights.path
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / GIB


def _work_gib(model: ModelConfig, weights: ResolvedWeights) -> float:
    """What a batch takes besides the weights."""
    heads, tokens = _SAM_HEADS.get(weights.kind or ""), _SAM_TOKENS
    if heads is None and weights.path.is_dir():
        heads, tokens = _sam_folder(weights.path)
    if heads is not None:
        return model.batch_size * _ATTENTION_COPIES * heads * tokens**2 * 4 / GIB
    if weights.kind == "mobile_sam":
        return model.batch_size * _MOBILE_GIB
    return model.batch_size * _YOLO_GIB * (model.imgsz / 640) ** 2


def _sam_folder(folder: Path) -> tuple[int | None, int]:
    """Heads and tokens of a Sam of any size, as ``priors.sam`` keeps it; None where it is none."""
    try:
        config = json.loads((folder / "config.json").read_text())
        side = int(config["image_size"]) // int(config["vit_patch_size"])
        return int(config["encoder_num_heads"]), side**2
    except (OSError, ValueError, KeyError, TypeError):
        return None, _SAM_TOKENS
