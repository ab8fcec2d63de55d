"""The pose and mask models by name: which wrapper loads which weights."""

from dataclasses import replace

from priors.config import ModelConfig
from priors.device import resolve_device
from priors.masks import MaskModel, SamMasks
from priors.pose import PoseModel, YoloPose
from priors.sam import CONFIG_FILE
from priors.weights import resolve_weights
from priors.yolo_seg import YoloSegMasks


def load_pose(config: ModelConfig, *, device: str = "auto") -> PoseModel:
    """The pose model of that name, path or URL (today all of them are ultralytics models).

    Raises:
        WeightsError: see ``resolve_weights``; or not a model of the 17 COCO keypoints.
    """
    weights = resolve_weights(config.weights, trust=config.trust_weights)
    return YoloPose(weights, config, device=device)


def load_masks(config: ModelConfig, *, device: str = "auto") -> MaskModel:
    """The mask model of that name, path or URL: a Sam, or a yolo-seg model.

    A directory is a Sam if it holds ``config.json``, else a yolo-seg. On a CPU a Sam encodes one
    photo at a time, whatever ``batch_size`` says.

    Raises:
        WeightsError: see ``resolve_weights``; or not a model of its kind.
    """
    weights = resolve_weights(config.weights, trust=config.trust_weights)
    is_sam_directory = weights.path.is_dir() and (weights.path / CONFIG_FILE).is_file()
    if not is_sam_directory and not (weights.kind or "").startswith(("sam_", "mobile_sam")):
        return YoloSegMasks(weights, config, device=device)
    # A CPU gains nothing from a batch: ViT-B at 512 px takes 1.9 s an image alone, 2.8 s of 8.
    if resolve_device(device) == "cpu":
        config = replace(config, batch_size=1)
    return SamMasks(weights, config, device=device)
