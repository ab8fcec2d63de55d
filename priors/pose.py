"""Photos to people with keypoints: the protocol, and the ultralytics models behind it."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from priors.config import ModelConfig
from priors.weights import ResolvedWeights
from priors.yolo import YoloNetwork, load_yolo
from storage.errors import WeightsError
from storage.records import Person

N_KEYPOINTS = 17


class PoseModel(Protocol):
    """Finds people."""

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Person]]:
        """Per image (HWC uint8 RGB) every person of score >= 0.25, best first.

        Keypoints and boxes are in pixels of the image, rounded to 0.01 px, scores to 1e-4;
        ``passes_gate`` is False: the gate is not the model's matter.
        """
        ...


class YoloPose:
    """An ultralytics pose model: square letterbox, batches of one shape, NMS at IoU 0.7."""

    def __init__(
        self, weights: ResolvedWeights, config: ModelConfig, *, device: str = "auto"
    ) -> None:
        """Load once.

        Args:
            weights: ``.pt``, ``.safetensors`` with its ``.yaml`` beside it, or their directory.

        Raises:
            WeightsError: not a model of the 17 COCO keypoints.
        """
        model: Any = load_yolo(weights, task="pose")
        shape = list(model.kpt_shape)
        if shape != [N_KEYPOINTS, 3]:
            raise WeightsError(
                f"pose weights: expected kpt_shape [17, 3] in COCO order, "
                f"got {shape} in {weights.path}"
            )
        self.sha256 = weights.sha256
        self._network = YoloNetwork(model, config, device=device)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Person]]:
        side = (self._network.imgsz, self._network.imgsz)
        return [
            _people(rows, side=side, image_shape=(image.shape[0], image.shape[1]))
            for (rows, _), image in zip(self._network.detect(images), images, strict=True)
        ]


def _people(rows: Tensor, *, side: tuple[int, int], image_shape: tuple[int, int]) -> list[Person]:
    from ultralytics.utils.ops import scale_boxes, scale_coords

    if not len(rows):
        return []
    boxes: Any = scale_boxes(side, rows[:, :4].clone(), image_shape)
    keypoints: Any = scale_coords(
        side, rows[:, 6:].reshape(-1, N_KEYPOINTS, 3).clone(), image_shape
    )
    return [
        Person(
            bbox_xyxy_px=(round(x0, 2), round(y0, 2), round(x1, 2), round(y1, 2)),
            score=round(float(score), 4),
            keypoints=tuple((round(x, 2), round(y, 2), round(c, 4)) for x, y, c in points),
        )
        for (x0, y0, x1, y1), score, points in zip(
            boxes.tolist(), rows[:, 4].tolist(), keypoints.tolist(), strict=True
        )
    ]
