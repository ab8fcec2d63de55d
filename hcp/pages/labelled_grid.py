"""Pictures in rows and columns, with a line of text over each row and each column."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hcp.evaluation.generation import Image8


def labelled_grid(
    rows: Sequence[tuple[str, Sequence[Image8]]],
    heads: Sequence[str],
    *,
    label_px: int = 18,
    gap_px: int = 4,
) -> Image8:
    """One picture, HWC uint8 RGB.

    Args:
        rows: the label over each row and its pictures, all of one size.
        heads: the label over each column.
        label_px: height of a line of text.
        gap_px: between the pictures.
    """
    height, width = rows[0][1][0].shape[:2]
    step_x, step_y = width + gap_px, height + label_px + gap_px
    sheet = Image.new("RGB", (step_x * len(heads), label_px + step_y * len(rows)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=label_px * 2 / 3)
    for column, head in enumerate(heads):
        draw.text((column * step_x + 2, 2), head, fill="black", font=font)
    for line, (label, pictures) in enumerate(rows):
        top = label_px + line * step_y
        draw.text((2, top + 2), label, fill="black", font=font)
        for column, picture in enumerate(pictures):
            sheet.paste(Image.fromarray(picture), (column * step_x, top + label_px))
    return np.asarray(sheet)
