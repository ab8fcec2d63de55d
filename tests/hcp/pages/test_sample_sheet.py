"""The contact sheet in the Prefect UI."""

import io

import numpy as np
from PIL import Image

from hcp.pages.sample_sheet import COLUMNS, TILE_PX, sample_sheet
from storage.records import Sample


def sample(width: int, height: int, level: int) -> Sample:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (level, level, level)).save(buffer, "JPEG")
    return Sample(
        key="0" * 16, uri="a.jpg", sha256="", phash="", width_px=width, height_px=height,
        caption="", attributes={}, people=(), human_spans=(), image_jpeg=buffer.getvalue(),
        mask=np.zeros((height, width), dtype=np.uint8),
    )  # fmt: skip


def test_no_samples_no_sheet() -> None:
    assert sample_sheet([]) is None


def test_four_tiles_a_row_in_order_and_at_most_the_limit() -> None:
    sheet = sample_sheet([sample(300, 200, 40 * i + 20) for i in range(6)], limit=5)
    assert sheet is not None
    pixels = np.asarray(Image.open(io.BytesIO(sheet)))
    assert pixels.shape == (2 * TILE_PX, COLUMNS * TILE_PX, 3)
    middle = TILE_PX // 2
    row = [int(pixels[middle, middle + i * TILE_PX, 0]) for i in range(4)]
    assert np.allclose(row, [20, 60, 100, 140], atol=4)
    assert abs(int(pixels[middle + TILE_PX, middle, 0]) - 180) <= 4
    assert pixels[middle + TILE_PX, middle + TILE_PX, 0] == 0
