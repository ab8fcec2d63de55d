"""The prior of the paper: what a ResNet-50 sees in a key pose image.

B batch, C channels, h x w map pixels.
"""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from storage.errors import WeightsError
from storage.extras import explained_imports
from storage.weight_files import PICKLES, check_model_files

_STRIDES = (4, 8, 16, 32)
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_UNFIT = (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, EOFError)


class ResnetPrior(nn.Module):
    """ResNet-50 features of pose images, minus those of a black image, mean over channels.

    The encoder is the paper's ("such as ResNet50"); the rest is our reading: the stage whose
    features have the size of the attention map (a 256 px pose image gives 64, 32, 16 and 8), the
    positive part of the difference to the response to black, the mean over channels.
    """

    def __init__(self, weights: str | Path | None = None, *, seed: int = 0) -> None:
        """Build and freeze the encoder.

        Args:
            weights: a ``.safetensors`` file, a ``.pth`` file of plain tensors (torchvision's own
                format; nothing but tensors is unpickled), a torchvision name such as
                ``IMAGENET1K_V2``, or None for random weights.
            seed: of the random weights.
        Raises:
            WeightsError: the weights are not there, cannot be fetched, or are not a ResNet-50's.
            MissingExtraError: torchvision is not installed.
        """
        super().__init__()
        with explained_imports():
            from torchvision.models import resnet50
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = resnet50(weights=None)
        if weights is not None:
            _load(encoder, weights)
        self.stem = nn.Sequential(encoder.conv1, encoder.bn1, encoder.relu, encoder.maxpool)
        self.stages = nn.ModuleList(
            [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]
        )
        self._black: dict[tuple[int, int, int], Tensor] = {}
        self.requires_grad_(requires_grad=False).eval()

    def train(self, mode: bool = True) -> "ResnetPrior":
        """Stays in evaluation mode: the encoder is frozen, its batch statistics too."""
        del mode
        return super().train(False)

    @torch.no_grad()
    def forward(self, pose_images: Tensor, *, map_size: tuple[int, int]) -> Tensor:
        """The prior at one map size.

        Args:
            pose_images: [B, 3, H, W] in [0, 1]: coloured skeletons on black.
            map_size: height and width h, w; the images are resized to 4 h x 4 w where no stage of
                their own size gives it.
        Returns:
            [B, h, w], float32, non-negative; zero for a black image.
        """
        height, width = pose_images.shape[-2:]
        stage = _stage((height, width), map_size)
        if stage is None:
            height, width = map_size[0] * _STRIDES[0], map_size[1] * _STRIDES[0]
            pose_images = interpolate(
                pose_images, size=(height, width), mode="bilinear", antialias=True
            )
            stage = 0
        features = self._features(pose_images, stage)
        black = self._black.get((stage, height, width))
        if black is None or black.device != features.device:
            black = self._features(torch.zeros_like(pose_images[:1]), stage)
            self._black[stage, height, width] = black
        # Rounding leaves a residue even where nobody is, which must not pass for a target.
        drawn = (pose_images != 0).flatten(1).any(dim=1)[:, None, None]
        return torch.where(drawn, (features - black).clamp_min(0.0).mean(dim=1), 0.0)

    def _features(self, images: Tensor, stage: int) -> Tensor:
        images = images.to(torch.float32)
        mean = images.new_tensor(_MEAN)[:, None, None]
        hidden = self.stem((images - mean) / images.new_tensor(_STD)[:, None, None])
        for layer in self.stages[: stage + 1]:
            hidden = layer(hidden)
        return hidden


def _stage(image_size: tuple[int, int], map_size: tuple[int, int]) -> int | None:
    sizes = [(-(-image_size[0] // stride), -(-image_size[1] // stride)) for stride in _STRIDES]
    return sizes.index(map_size) if map_size in sizes else None


def _load(encoder: nn.Module, weights: str | Path) -> None:
    path = Path(weights).expanduser()
    check_model_files([path], "ResNet-50 weights")
    try:
        if path.suffix.lower() == ".safetensors":
            state = load_file(path)
        elif path.suffix.lower() in PICKLES:
            state = torch.load(path, map_location="cpu", weights_only=True)
        else:
            from torchvision.models import get_model_weights

            name: Any = get_model_weights("resnet50")[str(weights)]
            state = name.get_state_dict(check_hash=True)
        encoder.load_state_dict(state, strict=True)
    except (*_UNFIT, SafetensorError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"ResNet-50 weights {str(weights)!r}: expected a .safetensors or .pth file of "
            f"torchvision's resnet50, or a torchvision weights name that can be fetched: {error}"
        ) from error
