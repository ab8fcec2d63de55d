"""A small Sam with random weights, and photos and people for it."""

from pathlib import Path

import numpy as np
import torch
from segment_anything.modeling import Sam

from priors.sam import SamConfig, build_sam, save_sam
from storage.records import Person

SMALL = SamConfig(
    image_size=128,
    encoder_embed_dim=32,
    encoder_depth=2,
    encoder_num_heads=2,
    encoder_global_attn_indexes=(1,),
    window_size=4,
    prompt_embed_dim=32,
    decoder_mlp_dim=64,
    decoder_num_heads=2,
)


def write_small_sam(directory: Path) -> Sam:
    """Write the model where ``load_sam`` finds it, and give it."""
    torch.manual_seed(3)
    sam = build_sam(SMALL)
    with torch.no_grad():  # an untrained Sam says "no mask" everywhere: lift one logit head
        for parameter in sam.mask_decoder.output_hypernetworks_mlps[0].parameters():
            parameter.mul_(8)
    save_sam(sam, directory, config=SMALL)
    return sam


def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = ((90, 160), (200, 120), (128, 128))
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def person(left: float, top: float, right: float, bottom: float, *, sure: int = 17) -> Person:
    x, y = (left + right) / 2, (top + bottom) / 2
    points = [(x + i, y - i, 0.9 - i / 100) for i in range(sure)]
    return Person(
        bbox_xyxy_px=(left, top, right, bottom),
        score=0.9,
        keypoints=(*points, *[(0.0, 0.0, 0.1)] * (17 - sure)),
        passes_gate=True,
    )
