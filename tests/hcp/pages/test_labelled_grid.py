"""A grid holds its pictures bit for bit, under lines of text."""

import numpy as np

from hcp.pages.labelled_grid import labelled_grid


def test_pictures_stand_in_their_places_under_their_labels() -> None:
    generator = np.random.default_rng(0)
    rows = [
        (f"row {i}", [generator.integers(0, 255, (20, 30, 3), dtype=np.uint8) for _ in range(2)])
        for i in range(3)
    ]
    sheet = labelled_grid(rows, ["left", "right"], label_px=10, gap_px=2)
    assert sheet.shape == (10 + 3 * (20 + 10 + 2), 2 * (30 + 2), 3)
    for line, (_, pictures) in enumerate(rows):
        top = 20 + line * 32
        assert np.array_equal(sheet[top : top + 20, :30], pictures[0])
        assert np.array_equal(sheet[top : top + 20, 32:62], pictures[1])
        assert (sheet[top - 10 : top] < 255).any()  # its label
    assert (sheet[:10] < 255).any()
