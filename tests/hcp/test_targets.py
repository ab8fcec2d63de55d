"""Prior targets: values by hand, and equivariance to flip and crop (property 5.7 g)."""

import pytest
import torch
from torch import Tensor

from hcp.config import Prior, PriorTable
from hcp.targets import (
    PriorBatch,
    build_targets,
    heatmap_target,
    mask_target,
    prior_maps,
    stack_keypoints,
    token_targets,
)
from hcp.training.examples import flip_keypoints


def _people(*, size_px: int = 128, people: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(1, people, 17, 3, generator=generator)
    points[..., :2] *= size_px
    points[..., 2] = 0.2 + 0.8 * points[..., 2]
    return points


def test_a_single_joint_is_a_gaussian_around_it() -> None:
    keypoints = torch.zeros(1, 1, 17, 3)
    keypoints[0, 0, 9] = torch.tensor([36.0, 20.0, 0.9])  # map pixel column 4, row 2 at stride 8
    found = heatmap_target(keypoints, image_size=(64, 128), map_size=(8, 16))
    assert found.shape == (1, 8, 16)
    assert found[0, 2, 4].item() == pytest.approx(1.0)
    assert found[0, 2, 6].item() == pytest.approx(torch.exp(torch.tensor(-2.0)).item())
    assert found.sum(dim=(1, 2)).item() == pytest.approx(2 * torch.pi, rel=0.05)


def test_a_limb_is_drawn_between_its_joints() -> None:
    keypoints = torch.zeros(1, 1, 17, 3)
    keypoints[0, 0, 5] = torch.tensor([12.0, 36.0, 1.0])
    keypoints[0, 0, 7] = torch.tensor([52.0, 36.0, 1.0])
    found = heatmap_target(keypoints, image_size=(64, 64), map_size=(8, 8))[0]
    assert found[4, 1:7].tolist() == pytest.approx([1.0] * 6)
    assert found[0].max() < 0.01


def test_nobody_visible_gives_an_empty_target() -> None:
    keypoints = _people()
    hidden = keypoints.clone()
    hidden[..., 2] = 0.1
    outside = keypoints.clone()
    outside[..., 0] += 140
    for nobody in (hidden, outside):
        found = heatmap_target(nobody, image_size=(128, 128), map_size=(16, 16))
        assert (found == 0).all()


@pytest.mark.parametrize("image_size", [(128, 64), (64, 192)], ids=["tall", "wide"])
def test_aspect_buckets_keep_every_point_in_its_place(image_size: tuple[int, int]) -> None:
    height, width = image_size
    keypoints = torch.zeros(1, 2, 17, 3)
    keypoints[0, 0, 0] = torch.tensor([width - 12.0, 20.0, 0.9])
    keypoints[0, 1, 9] = torch.tensor([4.0, height - 4.0, 0.9])
    keypoints[0, 1, 5] = torch.tensor([width / 2, height / 2, 0.1])  # invisible
    found = heatmap_target(
        keypoints, image_size=image_size, map_size=(height // 8, width // 8), sigma_px=0.5
    )[0]
    peaks = (found > 0.9).nonzero().tolist()
    assert peaks == [[2, width // 8 - 2], [height // 8 - 1, 0]]
    masks = torch.zeros(1, height, width, dtype=torch.uint8)
    masks[0, 16:24, width - 16 : width - 8] = 1
    assert mask_target(masks, map_size=(height // 8, width // 8))[0].nonzero().tolist() == [
        [2, width // 8 - 2]
    ]


@pytest.mark.parametrize("map_size", [(16, 16), (8, 8), (4, 4)])
def test_flip_equivariance(map_size: tuple[int, int]) -> None:
    keypoints = _people()
    flipped = torch.from_numpy(flip_keypoints(keypoints[0].numpy(), 128))[None]
    plain = heatmap_target(keypoints, image_size=(128, 128), map_size=map_size)
    mirrored = heatmap_target(flipped, image_size=(128, 128), map_size=map_size)
    assert torch.allclose(mirrored, plain.flip(-1), atol=1e-5)
    masks = _blob()
    assert torch.allclose(
        mask_target(masks.flip(-1), map_size=map_size),
        mask_target(masks, map_size=map_size).flip(-1),
        atol=1e-6,
    )


def test_crop_equivariance() -> None:
    keypoints, masks = _people(), _blob()
    left, top, stride = 32, 16, 8
    cropped = keypoints.clone()
    cropped[..., 0] -= left
    cropped[..., 1] -= top
    whole = heatmap_target(keypoints, image_size=(128, 128), map_size=(16, 16))
    part = heatmap_target(cropped, image_size=(64, 64), map_size=(8, 8))
    window = (slice(None), slice(top // stride, top // stride + 8), slice(4, 12))
    assert torch.allclose(part, whole[window], atol=1e-5)
    assert torch.allclose(
        mask_target(masks[:, top : top + 64, left : left + 64], map_size=(8, 8)),
        mask_target(masks, map_size=(16, 16))[window],
    )


def test_mask_target_is_the_share_of_covered_pixels() -> None:
    masks = torch.zeros(1, 8, 8, dtype=torch.uint8)
    masks[0, :4, :2] = 3
    found = mask_target(masks, map_size=(2, 2))
    assert found.tolist() == [[[0.5, 0.0], [0.0, 0.0]]]


def _blob() -> Tensor:
    y, x = torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
    return ((x - 50) ** 2 + 2 * (y - 60) ** 2 < 900).to(torch.uint8)[None]


def test_words_get_the_priors_of_their_kind() -> None:
    batch = PriorBatch(image_size=(128, 128), keypoints=_people(), masks=_blob())
    table = PriorTable(person=("heatmap", "mask"), action=("heatmap",), body=("mask",))
    kinds = torch.tensor([[1, 2, 3, 0]])
    found = build_targets(batch, kinds, [(8, 8), (4, 4), (8, 8)], table=table)
    assert list(found) == [(8, 8), (4, 4)]
    maps = prior_maps(batch, ("heatmap", "mask"), map_size=(8, 8))
    heat, mask = maps["heatmap"].flatten(1), maps["mask"].flatten(1)
    assert heat.max() == mask.max() == 1
    target = found[8, 8]
    assert target.shape == (1, 64, 4)
    assert torch.allclose(target[..., 0], (heat + mask) / 2)
    assert torch.allclose(target[..., 1], heat)
    assert torch.allclose(target[..., 2], mask)
    assert (target[..., 3] == 0).all()


def test_a_missing_prior_is_named() -> None:
    with pytest.raises(ValueError, match="masks"):
        prior_maps(PriorBatch(image_size=(8, 8)), ("mask",), map_size=(2, 2))
    with pytest.raises(ValueError, match="ResnetPrior"):
        prior_maps(PriorBatch(image_size=(8, 8)), ("resnet50",), map_size=(2, 2))


def test_stacking_pads_with_invisible_people() -> None:
    stacked = stack_keypoints([_people()[0], torch.zeros(0, 17, 3), _people(people=1)[0]])
    assert stacked.shape == (3, 2, 17, 3)
    assert (stacked[1] == 0).all()
    assert (stacked[2, 1] == 0).all()
    assert stack_keypoints([torch.zeros(0, 17, 3)]).shape == (1, 1, 17, 3)


def test_token_targets_follow_the_kinds_order() -> None:
    maps: dict[Prior, Tensor] = {"heatmap": torch.ones(1, 2, 2), "mask": torch.full((1, 2, 2), 0.5)}
    table = PriorTable(person=("mask",), action=("heatmap",), body=("mask",))
    found = token_targets(maps, torch.tensor([[2, 1]]), table)
    assert found[0, 0].tolist() == [1.0, 0.5]
