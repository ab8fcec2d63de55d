"""Tiny pipelines with random weights in the exact layouts of Stable Diffusion 1.x, 2.x and XL."""

from typing import Any, Literal

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

Layout = Literal["sd1", "sd2", "sdxl"]
LAYOUTS: tuple[Layout, ...] = ("sd1", "sd2", "sdxl")
SIDE = 8  # latents
PIXELS = 16
_TEXT_DIM = 16
_XL_TEXT_DIMS = (16, 24)
_TIME_EMBED_DIM = 4

_UNETS: dict[Layout, dict[str, Any]] = {
    "sd1": {
        "block_out_channels": (8, 16, 16, 16),
        "attention_head_dim": 2,  # heads, the same at every width
        "cross_attention_dim": _TEXT_DIM,
    },
    "sd2": {
        "block_out_channels": (8, 16, 16, 16),
        "attention_head_dim": (1, 2, 4, 4),
        "cross_attention_dim": _TEXT_DIM,
        "use_linear_projection": True,
    },
    "sdxl": {
        "block_out_channels": (8, 16, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 1, 2),  # 1, 2, 10 in the real one
        "attention_head_dim": (1, 2, 4),
        "cross_attention_dim": sum(_XL_TEXT_DIMS),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": _TIME_EMBED_DIM,
        "projection_class_embeddings_input_dim": 6 * _TIME_EMBED_DIM + _XL_TEXT_DIMS[1],
    },
}
_PIPELINES: dict[str, tuple[Any, Any]] = {
    "text2img": (StableDiffusionPipeline, StableDiffusionXLPipeline),
    "img2img": (StableDiffusionImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline),
    "inpaint": (StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline),
    "inpaint9": (StableDiffusionInpaintPipeline, StableDiffusionXLInpaintPipeline),
    "controlnet": (StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline),
}
TASKS = tuple(_PIPELINES)


def layout_unet(layout: Layout, *, in_channels: int = 4) -> UNet2DConditionModel:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=SIDE,
        in_channels=in_channels,
        norm_num_groups=4,
        layers_per_block=1,  # 2 in the real ones
        **_UNETS[layout],
    )
    return unet.eval().requires_grad_(requires_grad=False)


def layout_pipeline(layout: Layout, tokenizer: CLIPTokenizer, task: str = "text2img") -> Any:
    """The pipeline class and parts that the layout's published models load into."""
    xl = layout == "sdxl"
    unet = layout_unet(layout, in_channels=9 if task == "inpaint9" else 4)
    parts: dict[str, Any] = {
        "unet": unet,
        "vae": _vae(),
        "tokenizer": tokenizer,
        "text_encoder": _text_encoder(CLIPTextModel, tokenizer, _TEXT_DIM),
        "scheduler": _scheduler(layout),
    }
    if xl:
        parts["tokenizer_2"] = tokenizer
        parts["text_encoder_2"] = _text_encoder(
            CLIPTextModelWithProjection, tokenizer, _XL_TEXT_DIMS[1]
        )
    else:
        parts |= {
            "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False,
        }  # fmt: skip
    if task == "controlnet":
        torch.manual_seed(3)
        controlnet: Any = ControlNetModel
        parts["controlnet"] = controlnet.from_unet(
            unet, conditioning_embedding_out_channels=(4, 8)
        ).eval()
    pipeline = _PIPELINES[task][xl](**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def task_inputs(task: str, *, rows: int) -> dict[str, Any]:
    """Image, mask and control image for one call of ``rows`` prompts."""
    pixels = np.random.default_rng(0).integers(0, 255, (PIXELS, PIXELS, 3), dtype=np.uint8)
    image = [Image.fromarray(pixels)] * rows
    mask = np.zeros((PIXELS, PIXELS), dtype=np.uint8)
    mask[4:12] = 255
    sized = {"height": PIXELS, "width": PIXELS}
    if task == "img2img":
        return {"image": image, "strength": 1.0}
    if task.startswith("inpaint"):
        masks = [Image.fromarray(mask)] * rows
        return {"image": image, "mask_image": masks, "strength": 1.0, **sized}
    if task == "controlnet":
        return {"image": image, "controlnet_conditioning_scale": 0.7, **sized}
    return sized


def _vae() -> Any:
    torch.manual_seed(1)
    vae: Any = AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=PIXELS,
    )
    return vae.eval().requires_grad_(requires_grad=False)


def _text_encoder(kind: Any, tokenizer: CLIPTokenizer, width: int) -> Any:
    torch.manual_seed(2)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_attention_heads=2,
        num_hidden_layers=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return kind(config).eval().requires_grad_(requires_grad=False)


def _scheduler(layout: Layout) -> Any:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    if layout == "sdxl":
        return EulerDiscreteScheduler(steps_offset=1, **betas)
    return DDIMScheduler(
        steps_offset=1,
        clip_sample=False,
        prediction_type="v_prediction" if layout == "sd2" else "epsilon",
        **betas,
    )
