"""A picture with the attention of each human word over it, per U-Net stage and timestep.

One sheet: a row for each word, stage and map (M, the frozen one; M_h, HcP's), a column for each
part of the sampling, from noise to picture, and one for all of it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from hcp.config import STAGES, Stage
from hcp.evaluation.attention_maps import Which, Word, word_map
from hcp.evaluation.generation import Image8, Recording
from hcp.pages.figures import heat_overlay
from hcp.pages.labelled_grid import labelled_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetConfig:
    """The sheet's measures."""

    tile_px: int = 128  # longer side of each picture
    parts: int = 4  # of the sampling, each the mean over its steps
    label_px: int = 18  # height of the line over a row
    gap_px: int = 4

    def __post_init__(self) -> None:
        if min(self.tile_px, self.parts, self.label_px) < 1 or self.gap_px < 0:
            raise ValueError(f"SheetConfig needs sizes >= 1 and gap_px >= 0, got {self}")


_SYMBOLS: dict[Which, str] = {"base": "M", "human": "M_h", "fused": "M^"}


def map_sheet(drawn: Recording, *, config: SheetConfig | None = None) -> Image8:
    """The sheet as HWC uint8 RGB.

    Each tile has its own colour scale, so shapes compare, strengths do not.

    Raises:
        ValueError: the prompt has no human word.
    """
    config = config or SheetConfig()
    if not drawn.words:
        raise ValueError("map_sheet needs a prompt with a human word")
    which: tuple[Which, ...] = ("base", "human") if drawn.maps.human else ("base",)
    stages: list[Stage] = [
        stage for stage in STAGES if any(s == stage for s, _ in drawn.maps.calls)
    ]
    parts = sampling_parts(drawn, config.parts)
    picture = _shrunk(drawn.image, config.tile_px)

    def tiles(word: Word, stage: Stage, kind: Which) -> list[Image8]:
        chosen = (drawn.maps.mean(kind, stage=stage, timesteps=part)[0] for part in [*parts, None])
        heats = (word_map(maps, word).to(torch.float32).numpy() for maps in chosen)
        return [heat_overlay(picture, heat) for heat in heats]

    rows = [
        (f"{word.text}  {stage}  {_SYMBOLS[kind]}", tiles(word, stage, kind))
        for word in drawn.words
        for stage in stages
        for kind in which
    ]
    heads = ["picture", *(f"t {max(part)} to {min(part)}" for part in parts), "all steps"]
    pictures = [(label, [picture, *row]) for label, row in rows]
    return labelled_grid(pictures, heads, label_px=config.label_px, gap_px=config.gap_px)


def sampling_parts(drawn: Recording, parts: int) -> list[list[int]]:
    """The timesteps that were sampled, largest first, in at most ``parts`` even groups."""
    steps = sorted({t for _, t in drawn.maps.calls}, reverse=True)
    return [part.tolist() for part in np.array_split(steps, min(parts, len(steps)))]


def _shrunk(image: Image8, longer_px: int) -> Image8:
    height, width = image.shape[:2]
    scale = longer_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
