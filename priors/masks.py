"""People to instance masks: the protocol, and Segment Anything.

P people of one image, K points of a person, S side of Sam's square input in px.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from segment_anything.modeling import Sam
from torch import Tensor

from priors.batching import FixedBatches
from priors.config import ModelConfig
from priors.device import resolve_device, runs_in_half
from priors.mobile_sam import load_mobile_sam
from priors.sam import PIXEL_MEAN, load_official_sam, load_sam
from priors.weights import ResolvedWeights
from storage.errors import WeightsError
from storage.records import Person

MAX_POINTS = 5  # positive points of a person, the surest keypoints
MIN_POINT_CONFIDENCE = 0.5
NOT_A_POINT = -1  # Sam's own label for padding


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonMasks:
    """The masks of one image's people, in the order of the people."""

    masks: NDArray[np.bool_]  # [P, H, W]
    scores: NDArray[np.float32]  # [P] in [0, 1]; 0 for an empty mask


class MaskModel(Protocol):
    """Draws the masks of given people."""

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], people: Sequence[Sequence[Person]]
    ) -> list[PersonMasks]:
        """Masks at the images' own resolution for the given people; P = 0 gives empty arrays."""
        ...


class SamMasks:
    """Segment Anything: images encoded in batches, all boxes of an image as one prompt batch.

    A prompt is the person's box and the surest keypoints as positive points; one mask per prompt,
    its score is the IoU that Sam predicts for it.
    """

    def __init__(
        self, weights: ResolvedWeights, config: ModelConfig, *, device: str = "auto"
    ) -> None:
        """Load once.

        Args:
            weights: a checkpoint of ``sam_vit_h|l|b`` or ``mobile_sam``, or a directory of
                ``model.safetensors`` + ``config.json`` (any size).
            config: its batch size is that of the image encoder.

        Raises:
            WeightsError: not a Sam.
        """
        self.sha256 = weights.sha256
        self._device = torch.device(resolve_device(device))
        self._half = runs_in_half(config.half, self._device.type)
        self._sam = _load(weights).to(self._device).eval()
        self._batches = FixedBatches(config.batch_size)

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], people: Sequence[Sequence[Person]]
    ) -> list[PersonMasks]:
        side = self._sam.image_encoder.img_size
        squares = [_resized(image, side) for image in images]
        embeddings: list[Tensor] = []
        for batch, n_real in self._batches.run([_padded(s, side) for s in squares], self._encode):
            embeddings.extend(batch[:n_real])
        return [
            self._decode(
                embedding, found, image_shape=image.shape[:2], input_shape=square.shape[:2]
            )
            for embedding, found, image, square in zip(
                embeddings, people, images, squares, strict=True
            )
        ]

    @torch.inference_mode()
    def _encode(self, batch: Tensor) -> Tensor:
        pixels = batch.to(self._device).permute(0, 3, 1, 2).float()
        with torch.autocast(self._device.type, dtype=torch.float16, enabled=self._half):
            embeddings: Tensor = self._sam.image_encoder(self._sam.preprocess(pixels))
        return embeddings.float()

    @torch.inference_mode()
    def _decode(
        self,
        embedding: Tensor,
        people: Sequence[Person],
        *,
        image_shape: tuple[int, ...],
        input_shape: tuple[int, ...],
    ) -> PersonMasks:
        height, width = image_shape
        if not people:
            return empty_masks(0, height_px=height, width_px=width)
        scale = torch.tensor([input_shape[1] / width, input_shape[0] / height])
        boxes = torch.tensor([p.bbox_xyxy_px for p in people]) * scale.repeat(2)
        points, labels = point_prompts(people)
        sparse, dense = self._sam.prompt_encoder(
            points=((points * scale).to(self._device), labels.to(self._device)),
            boxes=boxes.to(self._device),
            masks=None,
        )
        low_res, predicted_iou = self._sam.mask_decoder(
            image_embeddings=embedding[None],
            image_pe=self._sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,  # a box is not ambiguous
        )
        masks = np.zeros((len(people), height, width), dtype=np.bool_)
        for i, logits in enumerate(low_res):  # one at a time: full resolution in float is large
            full = self._sam.postprocess_masks(
                logits[None], (input_shape[0], input_shape[1]), (height, width)
            )
            masks[i] = (full[0, 0] > self._sam.mask_threshold).cpu().numpy()
        scores = predicted_iou[:, 0].clamp(0, 1).cpu().numpy().astype(np.float32)
        return PersonMasks(masks=masks, scores=scores * masks.any(axis=(1, 2)))


def empty_masks(n_people: int, *, height_px: int, width_px: int) -> PersonMasks:
    """Masks without a pixel, of score 0."""
    return PersonMasks(
        masks=np.zeros((n_people, height_px, width_px), dtype=np.bool_),
        scores=np.zeros(n_people, dtype=np.float32),
    )


def index_people(
    people: Sequence[Person], found: PersonMasks
) -> tuple[tuple[Person, ...], NDArray[np.uint8]]:
    """Paint the masks of the people that pass the gate into one indexed image.

    Where masks overlap, the person of the higher detection score is in front (of equal scores, the
    one listed first). ``mask_area_px`` counts the pixels that the person has in the image so made,
    so that a shard's numbers can be checked against its mask.

    Args:
        people: all people of the image.
        found: masks of those with ``passes_gate``, in their order.

    Returns:
        The people with ``mask_area_px`` and ``mask_score`` set where they pass the gate, and the
        image [H, W]: 0 background, i = ``people[i - 1]``.
    """
    passing = [i for i, person in enumerate(people) if person.passes_gate]
    if len(passing) != len(found.masks):
        raise ValueError(f"{len(passing)} people pass the gate, got {len(found.masks)} masks")
    index = np.zeros(found.masks.shape[1:], dtype=np.uint8)
    for k in sorted(range(len(passing)), key=lambda k: (people[passing[k]].score, -k)):
        index[found.masks[k]] = passing[k] + 1
    areas = np.bincount(index.ravel(), minlength=len(people) + 1)
    marked = list(people)
    for k, i in enumerate(passing):
        marked[i] = replace(
            people[i], mask_area_px=int(areas[i + 1]), mask_score=round(float(found.scores[k]), 4)
        )
    return tuple(marked), index


def _load(resolved: ResolvedWeights) -> Sam:
    if resolved.path.is_dir():
        return load_sam(resolved.path)
    kind = resolved.kind or ""
    if kind == "mobile_sam":
        return load_mobile_sam(resolved.path)
    if not kind.startswith("sam_"):
        raise WeightsError(
            "Sam weights: expected a directory of model.safetensors and config.json, or a "
            f"checkpoint of sam_vit_h, sam_vit_l, sam_vit_b or mobile_sam (named so); "
            f"got {resolved.path} ({kind or 'unknown kind'})"
        )
    return load_official_sam(kind.removeprefix("sam_"), resolved.path)


def _resized(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    # segment_anything.utils.transforms.ResizeLongestSide, which is Pillow's antialiased bilinear
    height, width = rgb.shape[:2]
    scale = side / max(height, width)
    size = (int(width * scale + 0.5), int(height * scale + 0.5))
    return np.array(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR), dtype=np.uint8)


def _padded(square: NDArray[np.uint8], side: int) -> Tensor:
    # Sam pads after normalising, with zeros: here that is the mean colour, so the pixels are
    # kept as float and padded with the mean to get the same zeros from one stacked batch.
    padded = torch.tensor(PIXEL_MEAN).repeat(side, side, 1)
    padded[: square.shape[0], : square.shape[1]] = torch.from_numpy(square).float()
    return padded


def point_prompts(people: Sequence[Person]) -> tuple[Tensor, Tensor]:
    """The surest keypoints, [P, K, 2] in px of the image, and their labels [P, K]."""
    points = torch.zeros((len(people), MAX_POINTS, 2))
    labels = torch.full((len(people), MAX_POINTS), NOT_A_POINT, dtype=torch.int64)
    for i, person in enumerate(people):
        surest = sorted(person.keypoints, key=lambda point: -point[2])[:MAX_POINTS]
        for k, (x, y, confidence) in enumerate(surest):
            if confidence >= MIN_POINT_CONFIDENCE:
                points[i, k] = torch.tensor([x, y])
                labels[i, k] = 1
    used = max(int((labels == 1).sum(dim=1).max()), 1)
    return points[:, :used], labels[:, :used]
