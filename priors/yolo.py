"""Ultralytics networks as plain torch modules, without the package's side effects.

Importing ultralytics probes the network, writes a settings file, replaces ``PIL.Image.open`` and
may install packages; its settings switch on MLflow, Ray Tune and telemetry. ``import_ultralytics``
is the one way in. Networks come from a trusted ``.pt`` or ``model.safetensors`` + ``model.yaml``.

B batch, N detections, S side of the square input in px.
"""

import os
import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from priors.batching import FixedBatches
from priors.config import ModelConfig
from priors.device import resolve_device, runs_in_half
from priors.weights import ResolvedWeights
from storage.errors import WeightsError
from storage.extras import explained_imports
from storage.weight_files import check_model_files, check_model_folder

with explained_imports():
    import cv2
    import torchvision
    import yaml

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "model.yaml"
PAD_VALUE = 114  # grey of ultralytics' LetterBox
MIN_SCORE = 0.25
NMS_IOU = 0.7

# Ultralytics' NMS is torchvision's where that is imported, else its own: always the same one.
assert torchvision.ops.nms

YoloTask = Literal["pose", "segment"]
_UNFIT = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, EOFError)


def import_ultralytics() -> ModuleType:
    """The ultralytics package with hooks, downloads, installs and telemetry off in this process.

    Its settings are changed in memory only; the user's settings file is neither read nor written.
    """
    private = Path(tempfile.gettempdir()) / f"hcp-ultralytics-{os.getuid()}"
    for name, value in (
        ("YOLO_AUTOINSTALL", "false"),
        ("YOLO_OFFLINE", "true"),
        ("YOLO_VERBOSE", "false"),
        ("YOLO_CONFIG_DIR", str(private)),
    ):
        os.environ.setdefault(name, value)
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    with explained_imports():
        import ultralytics
        from ultralytics.utils import SETTINGS, checks, patches

    hooks = ("mlflow", "raytune", "sync", "clearml", "comet", "dvc", "tensorboard", "wandb")
    dict.update(SETTINGS, dict.fromkeys(hooks, False))  # its own update() would write the file
    checks.AUTOINSTALL = False
    Image.open = patches._image_open  # pyright: ignore[reportPrivateUsage]  # Pillow's own opener
    return ultralytics


def load_yolo(weights: ResolvedWeights, *, task: YoloTask) -> torch.nn.Module:
    """A fused float32 network on CPU in eval mode.

    Raises:
        WeightsError: not weights of that task, or weights and config do not fit.
    """
    import_ultralytics()
    path = weights.path
    check_model_files([path, path.with_suffix(".yaml")], f"{task} weights")
    check_model_folder(path, f"{task} weights")
    try:
        model = _load(path, task=task)
    except (*_UNFIT, pickle.UnpicklingError, yaml.YAMLError) as error:
        raise WeightsError(f"{task} weights: cannot load {path}: {error}") from error
    except SafetensorError as error:
        raise WeightsError(f"{task} weights: {path} is damaged: {error}") from error
    got = getattr(model, "task", None)
    if got != task:
        raise WeightsError(f"{task} weights: {path} holds a model for {got!r}")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def save_yolo(model: torch.nn.Module, directory: Path) -> None:
    """Write an unfused ultralytics network as ``model.safetensors`` + ``model.yaml``."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, directory / WEIGHTS_FILE)
    config: Any = model.yaml
    (directory / CONFIG_FILE).write_text(yaml.safe_dump(dict(config), sort_keys=False))


def letterbox(rgb: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Fit an image [H, W, 3] into a grey square [S, S, 3], centred, as ultralytics does."""
    height, width = rgb.shape[:2]
    gain = min(side_px / height, side_px / width)
    new_width, new_height = max(round(width * gain), 1), max(round(height * gain), 1)
    if (new_width, new_height) != (width, height):
        rgb = np.asarray(
            cv2.resize(rgb, (new_width, new_height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8
        )
    top, left = round((side_px - new_height) / 2 - 0.1), round((side_px - new_width) / 2 - 0.1)
    square = np.full((side_px, side_px, 3), PAD_VALUE, dtype=np.uint8)
    square[top : top + new_height, left : left + new_width] = rgb
    return square


class YoloNetwork:
    """Square letterbox, fixed batches, forward, NMS: what pose and segmentation have in common."""

    def __init__(
        self, model: torch.nn.Module, config: ModelConfig, *, device: str = "auto"
    ) -> None:
        self.imgsz = config.imgsz
        self._device = torch.device(resolve_device(device))
        self._half = runs_in_half(config.half, self._device.type)
        self._model = model.to(self._device)
        if self._half:
            self._model.half()
        if self._device.type == "cuda":
            torch.backends.cudnn.deterministic = True  # the same unit gives the same bytes
        names: dict[int, str] = dict(getattr(model, "names", {}) or {0: "person"})
        self._n_classes = len(names)
        self._person = next((i for i, name in names.items() if name == "person"), 0)
        self._batches = FixedBatches(config.batch_size)

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[tuple[Tensor, Tensor | None]]:
        """People of each image, best first.

        Args:
            images: HWC uint8 RGB of any sizes.

        Returns:
            Per image: rows [N, 6 + extra] on CPU, float32 (x1, y1, x2, y2 in px of the square
            input, score, class, extra) and the mask prototypes of that image, None for pose.
        """
        squares = [torch.from_numpy(letterbox(image, self.imgsz)) for image in images]
        found: list[tuple[Tensor, Tensor | None]] = []
        for (rows, protos), n_real in self._batches.run(squares, self._forward):
            for i in range(n_real):
                found.append((rows[i], None if protos is None else protos[i]))
        return found

    @torch.inference_mode()
    def _forward(self, batch: Tensor) -> tuple[list[Tensor], Tensor | None]:
        from ultralytics.utils.nms import non_max_suppression

        pixels = batch.to(self._device).permute(0, 3, 1, 2).contiguous()
        pixels = (pixels.half() if self._half else pixels.float()) / 255
        output: Any = self._model(pixels)
        protos: Any = None
        if getattr(self._model, "task", None) == "segment":
            protos = output[0][1] if isinstance(output[0], tuple) else output[1]
            protos = protos.float().cpu()
        predictions: Any = output[0]
        rows: Any = non_max_suppression(
            predictions,
            MIN_SCORE,
            NMS_IOU,
            classes=[self._person],
            nc=self._n_classes,
            end2end=bool(getattr(self._model, "end2end", False)),
            max_time_img=1e6,  # its clock drops images on a busy machine: results must not vary
        )
        return [row.float().cpu() for row in rows], protos


def _load(path: Path, *, task: YoloTask) -> torch.nn.Module:
    from ultralytics.nn.tasks import PoseModel, SegmentationModel, load_checkpoint

    if path.suffix == ".pt":
        return load_checkpoint(path, device="cpu", fuse=True)[0]
    tensors_path = path / WEIGHTS_FILE if path.is_dir() else path
    config_path = path / CONFIG_FILE if path.is_dir() else path.with_suffix(".yaml")
    config: dict[str, Any] = yaml.safe_load(config_path.read_text())
    build: Any = PoseModel if task == "pose" else SegmentationModel
    model: Any = build(config, ch=int(config.get("channels", 3)), verbose=False)
    tensors = load_file(tensors_path)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    model.task = task
    return model.eval().fuse(verbose=False)
