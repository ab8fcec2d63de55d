"""The sheet of all models' pictures: which prompts, and the sheet itself."""

import io

import numpy as np
from PIL import Image

from hcp.evaluation.comparison import Pictures
from hcp.pages.arm_sheet import OTHERS, PEOPLE, TILE_PX, arm_sheet, chosen


def test_rows_are_spread_over_the_prompts_people_first() -> None:
    prompts = [f"a woman in room {i}" for i in range(50)] + ["a red car", "a tree"]
    twice = [prompt for prompt in prompts for _ in range(2)]  # two seeds each
    numbers = chosen(twice)
    assert numbers == [0, 20, 40, 60, 80, 100]
    assert len(numbers) == PEOPLE + OTHERS
    assert chosen(["a man", "a red car"]) == [0, 1]


def test_each_prompt_is_a_row_with_a_picture_of_each_model() -> None:
    grey = {"base": 40, "candidate": 120, "champion": 200}
    pictures = Pictures(
        prompts=("a man " * 60, "a red car"),
        seeds=(0, 0),
        images={arm: [np.full((8, 16, 3), level, np.uint8)] * 2 for arm, level in grey.items()},
        people={arm: [[], []] for arm in grey},
    )
    sheet = np.asarray(Image.open(io.BytesIO(arm_sheet(pictures))))
    assert sheet.shape[1] >= 3 * TILE_PX
    row = sheet[18 + 18 + TILE_PX // 4, :: TILE_PX // 2].mean(axis=1)  # a line through the tiles
    assert [int(row[i]) for i in (1, 3, 5)] == [40, 120, 200]
