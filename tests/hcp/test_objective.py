"""The alignment terms of a step, on hand-made maps."""

import pytest
import torch
from torch import Tensor

from hcp.config import AlignmentConfig, Schedule, Stage, StageTable
from hcp.inject import LayerMap
from hcp.losses import alignment_loss
from hcp.objective import AlignmentTerms, aligned_stages, alignment_terms

TIMESTEPS = torch.tensor([10, 900])
VALID = torch.tensor([[True, False], [False, False]])  # the second row has no human token
TARGETS = {(n, n): torch.rand(2, n * n, generator=torch.Generator().manual_seed(n)) for n in (2, 4)}


def layer(stage: Stage, side: int, seed: int) -> LayerMap:
    maps = torch.rand(2, side * side, 2, generator=torch.Generator().manual_seed(seed))
    return LayerMap(
        site=f"{stage}{seed}", stage=stage, height=side, width=side, attn_map=maps.requires_grad_()
    )


MAPS = [layer("mid", 2, 0), layer("up", 4, 1), layer("up", 2, 2)]


def terms(mid: Schedule = "early", up: Schedule = "late") -> AlignmentTerms:
    return alignment_terms(
        MAPS,
        TARGETS,
        VALID,
        TIMESTEPS,
        config=AlignmentConfig(stages=StageTable(mid=mid, up=up)),
        num_train_timesteps=1000,
    )


def loss(one: LayerMap) -> Tensor:
    return alignment_loss(one.attn_map, TARGETS[one.height, one.width], VALID)


def test_a_stage_is_the_weighted_mean_of_its_layers() -> None:
    found = terms()
    assert set(found.by_stage) == {"mid", "up"}
    torch.testing.assert_close(found.by_stage["up"], (loss(MAPS[1]) + loss(MAPS[2])) / 2)
    phase = TIMESTEPS * torch.pi / 2 / 1000
    expected = phase.sin() * found.by_stage["mid"] + phase.cos() * found.by_stage["up"]
    torch.testing.assert_close(found.per_sample, expected)
    assert found.total.item() == pytest.approx(expected.mean().item())
    assert found.per_sample[1] == 0


def test_the_stages_add_up_and_are_detached_in_the_table() -> None:
    both, mid, up = terms(), terms(up="off"), terms(mid="off")
    torch.testing.assert_close(both.per_sample, mid.per_sample + up.per_sample)
    assert set(mid.by_stage) == {"mid"}
    assert both.total.requires_grad
    assert not both.by_stage["mid"].requires_grad


def test_without_an_aligned_stage_there_is_no_gradient() -> None:
    off = terms(mid="off", up="off")
    assert off.total == 0
    assert off.by_stage == {}
    assert not off.total.requires_grad


def test_no_weight_needs_no_maps() -> None:
    assert aligned_stages(AlignmentConfig()) == ("mid", "up")
    assert aligned_stages(AlignmentConfig(stages=StageTable(down="late"))) == ("down", "mid", "up")
    assert aligned_stages(AlignmentConfig(alpha=0.0)) == ()


def test_a_map_size_without_a_target_is_an_error() -> None:
    with pytest.raises(KeyError):
        alignment_terms(
            [layer("mid", 8, 0)], TARGETS, VALID, TIMESTEPS,
            config=AlignmentConfig(), num_train_timesteps=1000,
        )  # fmt: skip
