"""Feature networks by name: CLIP, DINOv2 and their kin of transformers, and Inception.

Each takes pictures of any size and prepares them as its authors did for photos.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from hcp.evaluation.fidelity.space import FeatureSpace
from storage.errors import WeightsError
from storage.extras import explained_imports
from storage.weight_files import check_model_files, check_model_folder

_UNFIT = (OSError, RuntimeError, KeyError, TypeError, AttributeError, EOFError, ValueError)
NETWORKS: Mapping[str, str] = {
    "clip": "CLIPModel",
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
}
"""``model_type`` of a config -> the class of transformers."""


class TransformersFeatures(nn.Module):
    """An image model of transformers with its own preparation of pictures.

    Of CLIP the joint embedding is taken, as CMMD does; of the others the normed class token, as
    Stein et al. 2023 do.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__()
        self.model = model
        self._processor = processor

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] -> float [N, D]."""
        inputs = self._processor(images=list(images.cpu()), return_tensors="pt")
        pixels: Tensor = inputs["pixel_values"].to(images.device)
        if self.model.config.model_type == "clip":
            return self.model.visual_projection(self.model.vision_model(pixels).pooler_output)
        return self.model(pixels).pooler_output


class InceptionFeatures(nn.Module):
    """Inception-v3's last pooling, 2,048 wide: the network of FID's and KID's authors."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [N, 3, H, W] -> float [N, 2048]."""
        return self.network(images)[0]


def transformers_space(name_or_dir: str, *, device: str = "cpu") -> FeatureSpace:
    """The feature space of a hub id or a local folder, told by the ``model_type`` of its config.

    Raises:
        WeightsError: it cannot be loaded, or is of a type that is not in ``NETWORKS``.
    """
    import transformers

    library: Any = transformers
    check_model_folder(name_or_dir, f"feature network {name_or_dir!r}")
    try:
        kind: str = library.AutoConfig.from_pretrained(name_or_dir).model_type
        if kind not in NETWORKS:
            raise WeightsError(
                f"feature network {name_or_dir!r} is a {kind!r}; expected 'embedded', 'inception', "
                f"a Segment Anything folder or one of {', '.join(NETWORKS)}"
            )
        model, loaded = getattr(library, NETWORKS[kind]).from_pretrained(
            name_or_dir, use_safetensors=True, output_loading_info=True
        )
        processor = library.AutoImageProcessor.from_pretrained(name_or_dir)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        said = " ".join(str(error).split())[:200]
        raise WeightsError(f"feature network {name_or_dir!r} cannot be loaded: {said}") from error
    if random := [*loaded["missing_keys"], *loaded["mismatched_keys"]]:
        raise WeightsError(
            f"feature network {name_or_dir!r}: its weights lack {len(random)} of the model's "
            f"tensors, such as {random[0]}"
        )
    network = TransformersFeatures(model.to(device).eval(), processor)
    return FeatureSpace(network, name=f"{kind} {Path(name_or_dir).name}", is_clip=kind == "clip")


def inception_space(weights: Path, *, device: str = "cpu") -> FeatureSpace:
    """Inception-v3 as torch-fidelity has it, bit for bit that of FID's authors.

    Args:
        weights: its verified file; the library reads it as a pickle.
    Raises:
        WeightsError: the file holds other weights.
        MissingExtraError: torch-fidelity is not installed.
    """
    with explained_imports():
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports] - an extra of its own
            FeatureExtractorInceptionV3,
        )

    check_model_files([weights], "Inception")
    try:
        network: Any = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
        )
    except (*_UNFIT, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"Inception: {weights} does not hold its weights ({str(error)[:200]})"
        ) from error
    network = InceptionFeatures(network.to(torch.device(device)))
    return FeatureSpace(network, name="Inception v3, pool3")
