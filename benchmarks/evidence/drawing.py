"""A job's pictures as PNG files, drawn in small parts: a kill costs one part."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.evidence.controlnet import pose_picture, posed_pipeline
from benchmarks.evidence.prompts import Asked
from benchmarks.evidence.settings import DrawingConfig
from hcp.base import BasePipeline, native_size_px
from hcp.evaluation.generation import attached, generate
from hcp.training.denoising import as_inputs
from hcp.training.methods import Trained
from storage.locations import write_atomic

Image8 = NDArray[np.uint8]
Draw = Callable[[Sequence[Asked]], list[Image8]]
"""Pictures of so many prompts as one call of the U-Net takes."""


def drawn(asked: Sequence[Asked], folder: Path, draw: Draw, *, batch_size: int) -> list[Image8]:
    """The pictures of all prompts; those in the folder are read, the others drawn into it."""
    images: list[Image8] = []
    for start in range(0, len(asked), batch_size):
        part = asked[start : start + batch_size]
        files = [folder / f"{start + i:05d}.png" for i in range(len(part))]
        if not all(file.is_file() for file in files):
            for file, image in zip(files, draw(part), strict=True):
                write_atomic(str(file), _png(image))
        images += [np.asarray(Image.open(file).convert("RGB")) for file in files]
    return images


def plain_draw(pipeline: BasePipeline, config: DrawingConfig) -> Draw:
    """With the pipeline as it is, an attached adapter included."""

    def draw(asked: Sequence[Asked]) -> list[Image8]:
        return generate(
            pipeline, [each.prompt for each in asked], seeds=[each.seed for each in asked],
            steps=config.steps, guidance=config.guidance, batch_size=config.batch_size,
        )  # fmt: skip

    return draw


def posed_draw(pipeline: BasePipeline, checkpoint: str, config: DrawingConfig) -> Draw:
    """With a ControlNet that is given each picture's pose."""
    posed: Any = posed_pipeline(pipeline, checkpoint)
    side = native_size_px(pipeline)

    def draw(asked: Sequence[Asked]) -> list[Image8]:
        poses = [pose_picture(a.people or (), width_px=side, height_px=side) for a in asked]
        result = posed(
            [each.prompt for each in asked], image=[Image.fromarray(pose) for pose in poses],
            width=side, height=side, num_inference_steps=config.steps,
            guidance_scale=config.guidance, output_type="pil",
            generator=[torch.Generator().manual_seed(each.seed) for each in asked],
        )  # fmt: skip
        return [np.asarray(image.convert("RGB")) for image in result.images]

    return draw


def with_adapter(
    pipeline: BasePipeline, adapter: Trained | None, asked: Sequence[Asked], folder: Path,
    config: DrawingConfig,
) -> list[Image8]:  # fmt: skip
    """All pictures of one adapter, or of the base alone."""
    with attached(pipeline, adapter):
        draw = plain_draw(pipeline, config)
        return drawn(asked, folder, draw, batch_size=config.batch_size)


@torch.no_grad()
def through_vae(pipeline: BasePipeline, images: Sequence[Image8]) -> list[Image8]:
    """True pictures as the base's autoencoder gives them back: the best that it could draw."""
    vae: Any = pipeline.vae
    found: list[Image8] = []
    for image in images:
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
        inputs = as_inputs(pixels, torch.device(pipeline.device)).to(vae.dtype)
        decoded = vae.decode(vae.encode(inputs).latent_dist.mode()).sample[0]
        levels = ((decoded.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        found.append(levels.permute(1, 2, 0).cpu().numpy())
    return found


def _png(image: Image8) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
