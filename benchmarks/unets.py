"""The U-Nets and pipelines that the benchmarks measure: published layouts, random weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A U-Net layout, and where it runs."""

    unet: Mapping[str, Any]
    side: int  # latents
    text_dim: int
    device: torch.device

    @property
    def pooled_dim(self) -> int:
        """Of SDXL's pooled text; 0 in the others."""
        return int(self.unet.get("projection_class_embeddings_input_dim", 6 * 256)) - 6 * 256

    def draw(self, *shape: int, seed: int) -> torch.Tensor:
        """Seeded normal numbers on the device."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(*shape, generator=generator).to(self.device)

    def added(self, batch: int) -> dict[str, torch.Tensor] | None:
        """SDXL's pooled text and micro-conditioning."""
        if not self.pooled_dim:
            return None
        ids = torch.tensor([[1024, 1024, 0, 0, 1024, 1024]] * batch, device=self.device)
        return {"text_embeds": self.draw(batch, self.pooled_dim, seed=5), "time_ids": ids}


_SD15 = {"cross_attention_dim": 768, "attention_head_dim": 8}
_SDXL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SIZES: dict[str, tuple[Mapping[str, Any], int, int]] = {
    "reduced": ({**_SD15, "block_out_channels": (64, 128, 256, 256)}, 32, 768),
    "sd15": ({**_SD15, "block_out_channels": (320, 640, 1280, 1280)}, 64, 768),
    "sdxl": (_SDXL, 128, 2048),
}


def make_unet(base: Base) -> Any:
    """The frozen U-Net, the same random weights each time."""
    torch.manual_seed(0)
    unet: Any = UNet2DConditionModel(sample_size=base.side, **base.unet)
    return unet.eval().requires_grad_(requires_grad=False).to(base.device)


def make_pipeline(unet: Any, *, controlnet: bool) -> Any:
    """A pipeline for ready-made text embeddings; its decoder is not measured."""
    build: Any = StableDiffusionControlNetPipeline if controlnet else StableDiffusionPipeline
    vae: Any = AutoencoderKL
    control: Any = ControlNetModel
    parts = {"controlnet": control.from_unet(unet).eval().to(unet.device)} if controlnet else {}
    pipeline = build(
        vae=vae(block_out_channels=(8,) * 4, down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=4),
        text_encoder=None, tokenizer=None, unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False, **parts,
    ).to(unet.device)  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
