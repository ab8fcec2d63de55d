"""The image encoder of a Segment Anything as a feature network of pictures.

In the drawn world it is the one network that was trained there to see what lies where; it has never
seen a picture of the base.
"""

from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn.functional import interpolate

_CPU_BATCH = 4  # a CPU is fastest with few at a time: 24 ms a picture, 31 ms in sixteens


class SamFeatures(nn.Module):
    """Pictures to the mean of the encoder's last map over its places."""

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        self.encoder = sam.image_encoder
        mean: Any = sam.pixel_mean  # a buffer, whose type is lost
        std: Any = sam.pixel_std
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] -> float [N, D]; pictures are stretched to the encoder's square."""
        size = _CPU_BATCH if images.device.type == "cpu" else len(images)
        return torch.cat([self._features(part) for part in images.split(size)])

    def _features(self, images: Tensor) -> Tensor:
        side = self.encoder.img_size
        pixels = interpolate(images.float(), (side, side), mode="bilinear", antialias=True)
        maps: Tensor = self.encoder((pixels - self.get_buffer("mean")) / self.get_buffer("std"))
        return maps.mean(dim=(2, 3))
