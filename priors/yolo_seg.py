"""Masks from a yolo-seg model, matched to the given people: the cheap alternative to Sam.

N instances found by the model, P people given.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from priors.config import ModelConfig
from priors.masks import PersonMasks, empty_masks
from priors.weights import ResolvedWeights
from priors.yolo import YoloNetwork, load_yolo
from storage.records import Person

MIN_MATCH_IOU = 0.5  # of the boxes, for an instance to be the given person


class YoloSegMasks:
    """Instances of class person, each given to the person whose box fits it best.

    A person without an instance gets an empty mask of score 0; the score of a mask is the
    instance's detection score.
    """

    def __init__(
        self, weights: ResolvedWeights, config: ModelConfig, *, device: str = "auto"
    ) -> None:
        """Load once.

        Raises:
            WeightsError: not a segmentation model.
        """
        self.sha256 = weights.sha256
        self._network = YoloNetwork(load_yolo(weights, task="segment"), config, device=device)

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], people: Sequence[Sequence[Person]]
    ) -> list[PersonMasks]:
        side = self._network.imgsz
        return [
            instance_masks(rows, protos, found, shape=(image.shape[0], image.shape[1]), side=side)
            for (rows, protos), found, image in zip(
                self._network.detect(images), people, images, strict=True
            )
        ]


def match_boxes(given: Tensor, found: Tensor) -> list[int | None]:
    """For each given box [P, 4] the index of its found box [N, 4], one to one, best pairs first."""
    matched: list[int | None] = [None] * len(given)
    if not len(given) or not len(found):
        return matched
    iou = box_iou(given, found)
    while float(iou.max()) >= MIN_MATCH_IOU:
        person, instance = divmod(int(iou.argmax()), iou.shape[1])
        matched[person] = instance
        iou[person] = -1
        iou[:, instance] = -1
    return matched


@torch.inference_mode()
def instance_masks(
    rows: Tensor,
    protos: Tensor | None,
    people: Sequence[Person],
    *,
    shape: tuple[int, int],
    side: int,
) -> PersonMasks:
    """The masks of one image's people from the instances that the network found in it.

    Args:
        rows: [N, 6 + C], boxes in px of the square input, score, class, C prototype weights.
        protos: [C, h, w]; may be None where there are no rows.
        people: in px of the image.
        shape: height and width of the image.
        side: of the network's square input, px.
    """
    from ultralytics.utils.ops import process_mask_native, scale_boxes

    result = empty_masks(len(people), height_px=shape[0], width_px=shape[1])
    if not people or not len(rows):
        return result
    boxes: Any = scale_boxes((side, side), rows[:, :4].clone(), shape)
    matched = match_boxes(torch.tensor([p.bbox_xyxy_px for p in people]), boxes)
    for i, instance in enumerate(matched):
        if instance is None:
            continue
        one = slice(instance, instance + 1)
        mask: Any = process_mask_native(protos, rows[one, 6:], boxes[one], shape)
        result.masks[i] = mask[0].numpy().astype(np.bool_)
        if result.masks[i].any():
            result.scores[i] = float(rows[instance, 4])
    return result
