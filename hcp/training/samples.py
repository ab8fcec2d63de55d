"""Pictures of a training, at fixed prompts and seeds, drawn with the weights of a checkpoint."""

import io
import logging
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

from hcp.base import whole
from hcp.training.state import averaged
from hcp.training.trainer import Trainer
from hcp.training.validation import untouched
from hcp.training.watching import SampleGrid
from storage.errors import HcpError

logger = logging.getLogger(__name__)

GAP_PX = 4
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def draw_samples(trainer: Trainer) -> SampleGrid | None:
    """Draw the pictures that ``trainer.config.samples`` names, one row a prompt.

    A training from a cache loads VAE and text encoders for them, and lets them go again.
    What goes wrong ends no training: it is warned of, and there is no grid.
    """
    config = trainer.config.samples
    side = config.size_px or trainer.config.data.resolution_px
    pipeline: Any = trainer.pipeline
    rows: list[list[Image.Image]] = []
    try:
        with (
            whole(pipeline, trainer.base_model),
            untouched(trainer),
            averaged(trainer),
            trainer.method.drawing(pipeline),
            trainer.autocast(),
        ):
            for prompt in config.prompts:
                drawn = pipeline(
                    [prompt] * len(config.seeds),
                    num_inference_steps=config.steps,
                    guidance_scale=config.guidance,
                    generator=[torch.Generator().manual_seed(seed) for seed in config.seeds],
                    height=side,
                    width=side,
                    output_type="pil",
                )
                rows.append([image.convert("RGB") for image in drawn.images])
    except (RuntimeError, ValueError, HcpError) as error:  # out of memory, above all
        logger.warning("no sample pictures at step %d: %s", trainer.step_done, error)
        return None
    return SampleGrid(step=trainer.step_done, png=grid_png(rows, config.prompts))


def grid_png(rows: Sequence[Sequence[Image.Image]], titles: Sequence[str]) -> bytes:
    """Pictures of one size side by side, each row under its title, as a PNG."""
    width, height = rows[0][0].size
    text_px = max(11, height // 24)
    font, line = ImageFont.load_default(text_px), text_px + 2 * GAP_PX
    columns = max(len(row) for row in rows)
    size = (columns * (width + GAP_PX) + GAP_PX, len(rows) * (height + line) + GAP_PX)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (row, title) in enumerate(zip(rows, titles, strict=True)):
        top = number * (height + line)
        draw.text((GAP_PX, top + GAP_PX), title, fill=_INK, font=font)
        for column, image in enumerate(row):
            sheet.paste(image, (GAP_PX + column * (width + GAP_PX), top + line))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
