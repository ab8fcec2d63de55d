"""A contact sheet of samples with poses and masks drawn on, for the Prefect UI."""

import io
from collections.abc import Iterable
from itertools import islice

from PIL import Image

from hcp.pages.figures import decode_image, draw_people
from storage.records import Sample

TILE_PX = 256
COLUMNS = 4


def sample_sheet(samples: Iterable[Sample], *, limit: int = 12) -> bytes | None:
    """The first samples as one JPEG, four a row; None where there are none."""
    tiles = [_tile(sample) for sample in islice(samples, limit)]
    if not tiles:
        return None
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE_PX, rows * TILE_PX))
    for position, tile in enumerate(tiles):
        row, column = divmod(position, COLUMNS)
        sheet.paste(tile, (column * TILE_PX, row * TILE_PX))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _tile(sample: Sample) -> Image.Image:
    drawn = Image.fromarray(draw_people(decode_image(sample), sample))
    drawn.thumbnail((TILE_PX, TILE_PX))
    tile = Image.new("RGB", (TILE_PX, TILE_PX))
    tile.paste(drawn, ((TILE_PX - drawn.width) // 2, (TILE_PX - drawn.height) // 2))
    return tile
