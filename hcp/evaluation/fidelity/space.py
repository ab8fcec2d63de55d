"""A feature network as a space in which pictures lie, and how photos are made to fit pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import nn

Image8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """A network that turns pictures into features, with the name that a report gives it.

    The network takes uint8 [N, 3, H, W] of any size, does its own scaling, and gives [N, D].
    """

    network: nn.Module
    name: str = "given network"
    is_clip: bool = False  # whose image embeddings CMMD is defined on
    batch_size: int = 32

    @torch.no_grad()
    def embed(self, images: Sequence[Image8]) -> NDArray[np.float32]:
        """Features [N, D] of HWC uint8 pictures, which may be of several sizes.

        Raises:
            ValueError: there is no picture.
        """
        if not images:
            raise ValueError("FeatureSpace.embed: expected pictures, got none")
        sizes = [image.shape[:2] for image in images]
        found: dict[int, NDArray[np.float32]] = {}
        for size in dict.fromkeys(sizes):
            same = [i for i, each in enumerate(sizes) if each == size]
            for start in range(0, len(same), self.batch_size):
                part = same[start : start + self.batch_size]
                batch = torch.from_numpy(np.stack([images[i] for i in part]))
                rows = self.network(batch.permute(0, 3, 1, 2).contiguous().to(self._device()))
                found |= dict(zip(part, rows.float().cpu().numpy(), strict=True))
        return np.stack([found[i] for i in range(len(images))])

    def _device(self) -> torch.device:
        weights = next(self.network.parameters(), None)
        return torch.device("cpu") if weights is None else weights.device


def fitted(image: Image8, *, height_px: int, width_px: int) -> Image8:
    """A photo as pictures of this size show it: the middle cut out, then resized (Lanczos).

    What is cut off is only what does not fit the shape; resizing smooths before it leaves out
    pixels.
    """
    if image.shape[:2] == (height_px, width_px):
        return image
    done = ImageOps.fit(Image.fromarray(image), (width_px, height_px), Image.Resampling.LANCZOS)
    return np.asarray(done)
