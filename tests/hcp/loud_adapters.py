"""Tiny pipelines with loud adapters, and what is drawn with them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from hcp import HcpAdapter, HcpConfig

HUMAN = "a woman doing yoga on the beach"
OTHER = "a red car in the park with a dog running"
PHOTO = Image.new("RGB", (16, 16), "teal")
IP_TOKENS = 4


def draw(pipeline: Any, prompt: Any, **settings: Any) -> NDArray[np.float32]:
    settings = {"num_inference_steps": 1, "height": 16, "width": 16} | settings
    generator = torch.Generator().manual_seed(7)
    return pipeline(prompt, generator=generator, output_type="np", **settings).images


def loud(pipeline: Any, *, seed: int = 0, **config: Any) -> HcpAdapter:
    """An adapter that changes a great deal wherever it acts; other seeds, other weights."""
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=8, **config))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return adapter


def remade(kind: Any, pipeline: Any, **settings: Any) -> Any:
    """A pipeline of another class with the same parts."""
    if not hasattr(pipeline, "text_encoder_2"):
        settings |= {"requires_safety_checker": False}
    made = kind(**pipeline.components, **settings)
    made.set_progress_bar_config(disable=True)
    return made


def load_ip_adapter(pipeline: Any) -> None:
    """An IP-Adapter with random weights, as ``pipeline.load_ip_adapter`` loads one."""
    generator = torch.Generator().manual_seed(3)

    def weight(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    unet = pipeline.unet
    text = int(unet.config.cross_attention_dim)
    names = list(unet.attn_processors)
    layers: dict[str, Tensor] = {}
    for number, name in enumerate(names):
        if name.endswith("attn2.processor"):
            inner = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
            layers[f"{number}.to_k_ip.weight"] = weight(inner, text)
            layers[f"{number}.to_v_ip.weight"] = weight(inner, text)
    image = {"proj.weight": weight(IP_TOKENS * text, 8), "proj.bias": weight(IP_TOKENS * text),
             "norm.weight": weight(text), "norm.bias": weight(text)}  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=8, intermediate_size=8, projection_dim=8, num_hidden_layers=1,
        num_attention_heads=2, image_size=8, patch_size=4,
    )  # fmt: skip
    torch.manual_seed(4)
    pipeline.register_modules(
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        feature_extractor=CLIPImageProcessor(
            size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8}
        ),
    )
    unet._load_ip_adapter_weights([{"image_proj": image, "ip_adapter": layers}])
    unet.requires_grad_(requires_grad=False)
