"""``torch.compile`` of what lies between a U-Net's attentions, while it trains.

Compiled are the convolution blocks and the feed-forward layers, each by itself. The attentions stay
as they are: what a method adds (HcP's layers, peft's) lives there, and graphs would break at it.
"""

from typing import Any

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

_SHAPES_EACH = 8  # aspects, batch sizes, with and without gradients


class CompiledBlocks:
    """Compiled forms of a U-Net's blocks, until ``remove``.

    They take the place of ``frozen.LeanBackward``: the compiler itself decides what to keep for the
    backward pass. Parameters and their names stay. The first call with each shape is slow.
    """

    def __init__(self, unet: nn.Module, *, backend: str = "inductor") -> None:
        """Compile what nobody else has changed the forward pass of.

        Args:
            unet: a diffusers U-Net.
            backend: of ``torch.compile``.
        """
        self._blocks = [
            module
            for module in unet.modules()
            if type(module) in (ResnetBlock2D, FeedForward)
            and not any("forward" in vars(part) for part in module.modules())
        ]
        dynamo: Any = torch._dynamo.config  # pyright: ignore[reportPrivateUsage]
        self._limit = dynamo.recompile_limit
        # Blocks of one class share their code, and a graph of each counts against one limit.
        dynamo.recompile_limit = max(self._limit, _SHAPES_EACH * len(self._blocks))
        for block in self._blocks:
            block.compile(backend=backend)

    def remove(self) -> None:
        """Let the blocks run as they are."""
        for block in self._blocks:
            block.__dict__["_compiled_call_impl"] = None  # what nn.Module.compile set
        self._blocks.clear()
        dynamo: Any = torch._dynamo.config  # pyright: ignore[reportPrivateUsage]
        dynamo.recompile_limit = self._limit
