"""The feature network that an evaluation's settings name, wherever it comes from."""

from pathlib import Path
from typing import TYPE_CHECKING

from flows.names import model_path
from storage.errors import HcpError

if TYPE_CHECKING:
    from hcp.evaluation.fidelity.space import FeatureSpace

INCEPTION = "inception"


def feature_space(name: str | None, *, device: str) -> "FeatureSpace | str":
    """The network, or why there is none: an evaluation goes on without it.

    Args:
        name: ``embedded`` (the embedded Sam's image encoder), ``inception`` or the file of its
            weights, or the id or folder of a CLIP, DINOv2 or Segment Anything model.
    """
    if name is None:
        return "no feature network is configured (evaluate.features)"
    try:
        return _loaded(name, device)
    except HcpError as error:
        return str(error)


def _loaded(name: str, device: str) -> "FeatureSpace":
    from hcp.evaluation.fidelity.networks import inception_space, transformers_space
    from priors.sam import is_sam_folder
    from priors.weights import resolve_weights

    folder = Path(model_path(name, "masks"))
    if is_sam_folder(folder):
        return _sam_space(folder, device, name=f"image encoder of Sam ({name})")
    if name == INCEPTION or folder.is_file():
        return inception_space(resolve_weights(name).path, device=device)
    return transformers_space(name, device=device)


def _sam_space(folder: Path, device: str, *, name: str) -> "FeatureSpace":
    from hcp.evaluation.fidelity.space import FeatureSpace
    from priors.sam import load_sam
    from priors.sam_features import SamFeatures

    return FeatureSpace(SamFeatures(load_sam(folder)).to(device).eval(), name=name)
