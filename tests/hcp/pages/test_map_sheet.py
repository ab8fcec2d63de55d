"""Attention of human words per stage and timestep, and the sheet that shows it."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from hcp import HcpAdapter, HcpConfig
from hcp.evaluation.generation import Recording, generate, record_picture
from hcp.pages.map_sheet import SheetConfig, map_sheet, sampling_parts

PROMPT = "a woman doing yoga"


@pytest.fixture
def drawn(pipeline: StableDiffusionPipeline) -> Recording:
    adapter = HcpAdapter.create(pipeline.unet, HcpConfig(width=16, gamma=3.0))
    return record_picture(pipeline, PROMPT, seed=1, steps=5, adapter=adapter)


def test_maps_are_told_apart_by_stage_and_timestep(drawn: Recording) -> None:
    maps = drawn.maps
    assert {stage for stage, _ in maps.calls} == {"mid", "up"}
    assert sampling_parts(drawn, 2) == [[801, 601, 401], [201, 1]]
    assert maps.mean("human", stage="mid").shape[-2:] == (4, 4)
    assert maps.mean("human", stage="up").shape[-2:] == (16, 16)
    by_time = [maps.mean("base", stage="mid", timesteps=[t]) for t in (801, 601, 401, 201, 1)]
    assert not torch.equal(by_time[0], by_time[-1])
    assert torch.allclose(torch.stack(by_time).mean(dim=0), maps.mean("base", stage="mid"))
    with pytest.raises(ValueError, match="down stage"):
        maps.mean("human", stage="down")


def test_the_sheet_has_a_row_for_each_word_stage_and_map(drawn: Recording) -> None:
    config = SheetConfig(tile_px=20, parts=3, label_px=9, gap_px=1)
    sheet = map_sheet(drawn, config=config)
    assert sheet.shape == (9 + 2 * 2 * 2 * 30, 5 * 21, 3)  # words x stages x (M, M_h)
    assert sheet.dtype == np.uint8
    row = sheet[18:38]
    assert not np.array_equal(row[:, :20], row[:, 21:41])


def test_recording_changes_no_pixel(pipeline: StableDiffusionPipeline) -> None:
    plain = record_picture(pipeline, PROMPT, seed=1, steps=2)
    np.testing.assert_array_equal(plain.image, generate(pipeline, [PROMPT], seeds=[1], steps=2)[0])
    assert map_sheet(plain).shape[2] == 3  # without an adapter: M alone
    with pytest.raises(ValueError, match="human word"):
        map_sheet(record_picture(pipeline, "a red car", seed=1, steps=1))
