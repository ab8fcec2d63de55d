"""The U-Net's own weights, trained all of them, saved in diffusers' layout."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from safetensors.torch import load, save
from torch import nn

from hcp.sites import plain
from hcp.training.methods.lora import copy_named

UNET_FILE = "unet/diffusion_pytorch_model.safetensors"
UNET_CONFIG = "unet/config.json"  # with it, UNet2DConditionModel.from_pretrained reads the folder


class UnetWeights:
    """A U-Net whose weights all train, in float32; it keeps what it learned."""

    names: tuple[str, ...] = (UNET_FILE, UNET_CONFIG)

    def __init__(self, unet: nn.Module) -> None:
        self._unet: Any = plain(unet)
        self._unet.float()
        self._unet.requires_grad_(requires_grad=True)

    def named_parameters(self) -> Sequence[tuple[str, nn.Parameter]]:
        """All of the U-Net's."""
        return list(self._unet.named_parameters())

    def files(self) -> dict[str, bytes]:
        """Weights and config of the U-Net."""
        tensors = {n: t.detach().cpu().contiguous() for n, t in self._unet.state_dict().items()}
        config = {k: v for k, v in dict(self._unet.config).items() if not k.startswith("_")}
        config["_class_name"] = type(self._unet).__name__
        return {
            UNET_FILE: save(tensors, metadata={"format": "pt"}),
            UNET_CONFIG: json.dumps(config, indent=1, sort_keys=True).encode(),
        }

    def load(self, files: Mapping[str, bytes]) -> None:
        """Take the weights of such files.

        Raises:
            CheckpointError: they are not of this U-Net's layout.
        """
        copy_named(self.named_parameters(), load(files[UNET_FILE]))

    def remove(self) -> None:
        """Nothing was put in; the weights train no more."""
        self._unet.requires_grad_(requires_grad=False)
