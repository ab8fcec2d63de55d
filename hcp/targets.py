"""Prior targets: where people are, at the size of an attention map, for the alignment loss.

B batch, P people, h x w = Q map pixels, J selected tokens. Coordinates are continuous: the centre
of pixel column j is at j + 0.5.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, one_hot

from hcp.config import Prior, PriorTable
from hcp.resnet_prior import ResnetPrior
from storage.records import COCO_LIMBS, SpanKind

KINDS: tuple[SpanKind, ...] = get_args(SpanKind)
"""Kinds of human tokens; in a kinds tensor kind i is i + 1, and 0 is no human token."""

_TOUCHES = 0.5
"""Squared map pixels from a pixel's centre to its corner: a skeleton this near is in the map."""

_SEGMENTS = torch.tensor([*COCO_LIMBS, *((joint, joint) for joint in range(17))])
"""[S, 2]: the joints that each drawn segment connects; a joint alone is a segment of length 0."""

MapSize = tuple[int, int]
"""Height and width of an attention map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorBatch:
    """The priors of a batch of training images, all of one size."""

    image_size: MapSize  # height and width of the images, px
    keypoints: Tensor | None = None  # [B, P, 17, 3]: x_px, y_px, confidence; needed by heatmap
    masks: Tensor | None = None  # [B, H, W], non-zero on people; needed by mask
    pose_images: Tensor | None = None  # [B, 3, H, W] in [0, 1]; needed by resnet50


def stack_keypoints(people: Sequence[Tensor]) -> Tensor:
    """Keypoints of B images, [P_i, 17, 3] each, as [B, P, 17, 3] with P >= 1.

    What is missing is padded by people of confidence 0.
    """
    most = max([1, *(len(each) for each in people)])
    stacked = people[0].new_zeros(len(people), most, 17, 3)
    for row, each in enumerate(people):
        stacked[row, : len(each)] = each
    return stacked


def heatmap_target(
    keypoints: Tensor,
    *,
    image_size: MapSize,
    map_size: MapSize,
    sigma_px: float = 1.0,
    min_confidence: float = 0.3,
) -> Tensor:
    """Blurred limbs and joints (ours): ``exp(-d^2 / 2 sigma^2)``, d the distance to the skeleton.

    Args:
        keypoints: [B, P, 17, 3] in image pixels, COCO order.
        image_size: height and width of the image.
        map_size: height and width h, w of the target.
        sigma_px: blur in map pixels, so that every map size draws limbs about two pixels wide.
        min_confidence: keypoints below it are not drawn.
    Returns:
        [B, h, w], float32 in [0, 1]; all zero where nobody is visible. Limbs that reach over the
        edge are drawn up to it; people who are wholly outside are not.
    """
    height, width = map_size
    scale = keypoints.new_tensor([width / image_size[1], height / image_size[0]])
    points = (keypoints[..., :2] * scale).to(torch.float32)
    seen = keypoints[..., 2] >= min_confidence
    people = zip(points.unbind(1), seen.unbind(1), strict=True)
    nearest = torch.stack([_to_skeleton(p, s, map_size) for p, s in people]).amin(dim=0)
    return torch.exp(nearest / (-2 * sigma_px**2))


def mask_target(masks: Tensor, *, map_size: MapSize) -> Tensor:
    """Share of each map pixel that people cover (ours): [B, h, w], float32 in [0, 1].

    ``masks``: [B, H, W], bool or integer, non-zero on people.
    """
    return adaptive_avg_pool2d((masks != 0).to(torch.float32)[:, None], map_size)[:, 0]


def prior_maps(
    batch: PriorBatch,
    priors: Iterable[Prior],
    *,
    map_size: MapSize,
    resnet: ResnetPrior | None = None,
) -> dict[Prior, Tensor]:
    """The wanted priors at one map size, each [B, h, w] with a peak of 1 where it is not empty.

    Raises:
        ValueError: the batch lacks what a prior needs; the message says which.
    """
    found: dict[Prior, Tensor] = {}
    for prior in priors:
        if prior == "heatmap" and batch.keypoints is not None:
            found[prior] = heatmap_target(
                batch.keypoints, image_size=batch.image_size, map_size=map_size
            )
        elif prior == "mask" and batch.masks is not None:
            found[prior] = mask_target(batch.masks, map_size=map_size)
        elif prior == "resnet50" and batch.pose_images is not None and resnet is not None:
            found[prior] = resnet(batch.pose_images, map_size=map_size)
        else:
            raise ValueError(
                f"prior {prior!r} needs keypoints (heatmap), masks (mask), or pose_images and a "
                "ResnetPrior (resnet50) in the batch"
            )
    return {prior: _unit_peak(maps) for prior, maps in found.items()}


def token_targets(maps: Mapping[Prior, Tensor], kinds: Tensor, table: PriorTable) -> Tensor:
    """The target of each token by its kind: the mean of that kind's priors.

    Args:
        maps: prior -> [B, h, w], as ``prior_maps`` gives them.
        kinds: [B, J], int64; 0 is no human token.
        table: the priors of each kind.
    Returns:
        [B, h w, J], zero for kind 0 and where the priors are empty.
    """
    priors = table.by_kind()
    means = [torch.stack([maps[p] for p in priors[kind]]).mean(dim=0) for kind in KINDS]
    by_kind = torch.stack(means, dim=1)
    chosen = one_hot(kinds.to(by_kind.device), len(KINDS) + 1)[..., 1:].to(by_kind.dtype)
    return torch.einsum("bkq,bjk->bqj", by_kind.flatten(2), chosen)


def build_targets(
    batch: PriorBatch,
    kinds: Tensor,
    sizes: Iterable[MapSize],
    *,
    table: PriorTable,
    resnet: ResnetPrior | None = None,
) -> dict[MapSize, Tensor]:
    """Targets [B, h w, J] of every map size, for ``hcp.objective.alignment_terms``.

    Raises:
        ValueError: the batch lacks what a prior of the table needs.
    """
    with torch.no_grad():
        return {
            size: token_targets(
                prior_maps(batch, table.names(), map_size=size, resnet=resnet), kinds, table
            )
            for size in dict.fromkeys(sizes)
        }


def _to_skeleton(points: Tensor, seen: Tensor, map_size: MapSize) -> Tensor:
    # Squared distance of each pixel's centre to one person's limbs and joints, infinite where
    # nothing is seen: points [B, 17, 2] in map pixels, seen [B, 17] -> [B, h, w]. S segments at
    # once, x and y apart, so that the axes broadcast: [B, S, h, 1] against [B, S, 1, w].
    height, width = map_size
    first, last = _SEGMENTS.to(points.device).unbind(1)
    start, end = points[:, first], points[:, last]
    along_x, along_y = (end - start)[..., None, None].unbind(2)
    y = torch.arange(height, device=points.device, dtype=torch.float32)[:, None] + 0.5
    x = torch.arange(width, device=points.device, dtype=torch.float32) + 0.5
    start_x, start_y = start[..., None, None].unbind(2)
    off_x, off_y = x - start_x, y - start_y
    length = (along_x.square() + along_y.square()).clamp_min(1e-6)
    share = (off_x * (along_x / length) + off_y * (along_y / length)).clamp_(0.0, 1.0)
    squared = (off_x - share * along_x).square_() + (off_y - share * along_y).square_()
    drawn = (seen[:, first] & seen[:, last])[..., None, None]
    nearest = squared.masked_fill_(~drawn, torch.inf).amin(dim=1)
    # Without this the faint tail of somebody outside would be all there is, and count as a target.
    inside = nearest.amin(dim=(1, 2), keepdim=True) <= _TOUCHES
    return nearest.masked_fill_(~inside, torch.inf)


def _unit_peak(maps: Tensor) -> Tensor:
    peak = maps.amax(dim=(1, 2), keepdim=True)
    return maps / torch.where(peak > 0, peak, 1.0)
