"""Draw the README's picture: the base against HcP in the drawn world, nothing chosen.

    python -m docs.result_picture

The prompts are the first ones with people and the first one without, of those that `make demo`
draws, all from one seed; the adapter is the evidence's.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from demo.embedded import SD_DIR, WEIGHTS_DIR
from hcp import HcpAdapter
from hcp.base import load_base
from hcp.evaluation.generation import generate
from hcp.tokens import human_spans

PICTURE = Path(__file__).parent / "pictures" / "result.png"
N_PEOPLE, N_OTHERS, SEED, STEPS, GUIDANCE = 6, 1, 0, 20, 5.0
TILE_PX, GAP_PX, LINE_PX, SIDE_PX = 176, 6, 15, 46
N_COLOURS = 200
Image8 = NDArray[np.uint8]


def prompts() -> list[str]:
    """The first of the demo's with people, then the first without."""
    lines = files("demo").joinpath("prompts.txt").read_text(encoding="utf-8").splitlines()
    shown = [line for line in lines if line.strip()]
    people = [prompt for prompt in shown if human_spans(prompt)]
    return people[:N_PEOPLE] + [prompt for prompt in shown if not human_spans(prompt)][:N_OTHERS]


def rows_of_pictures(texts: Sequence[str]) -> dict[str, list[Image8]]:
    """What base and adapter draw of each prompt, from the same noise."""
    base = load_base(SD_DIR)
    adapter = HcpAdapter.from_pretrained(str(WEIGHTS_DIR / "adapters" / "default"))
    drawn = {"base": None, "HcP": adapter}
    return {
        name: generate(
            base, texts, seeds=[SEED] * len(texts), steps=STEPS, guidance=GUIDANCE, adapter=each
        )
        for name, each in drawn.items()
    }


def sheet(texts: Sequence[str], rows: dict[str, list[Image8]]) -> Image.Image:
    """Rows of pictures, each prompt over its column."""
    font = ImageFont.load_default(size=12)
    lines = [wrapped(text, font) for text in texts]
    head = LINE_PX * max(map(len, lines)) + GAP_PX
    step = TILE_PX + GAP_PX
    size = (SIDE_PX + step * len(texts), head + step * len(rows))
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for column, words in enumerate(lines):
        for i, line in enumerate(words):
            draw.text((SIDE_PX + column * step, 2 + i * LINE_PX), line, fill="black", font=font)
    for row, (name, pictures) in enumerate(rows.items()):
        top = head + row * step
        draw.text((4, top + TILE_PX / 2), name, fill="black", font=ImageFont.load_default(size=15))
        for column, picture in enumerate(pictures):
            tile = Image.fromarray(picture).resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)
            canvas.paste(tile, (SIDE_PX + column * step, top))
    return canvas


def wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """A prompt in lines as wide as a tile."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) > TILE_PX - GAP_PX:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def main() -> None:
    """Write the picture."""
    texts = prompts()
    drawn = sheet(texts, rows_of_pictures(texts))
    drawn.quantize(N_COLOURS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
