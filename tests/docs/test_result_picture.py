"""The README's picture: prompts that nobody chose, in a small file."""

import numpy as np
from PIL import Image, ImageFont

from docs.result_picture import N_OTHERS, N_PEOPLE, PICTURE, TILE_PX, prompts, sheet, wrapped
from hcp.tokens import human_spans


def test_the_prompts_are_the_first_ones() -> None:
    chosen = prompts()
    assert [bool(human_spans(prompt)) for prompt in chosen] == [True] * N_PEOPLE + [
        False
    ] * N_OTHERS
    assert chosen[0] == "a woman in a red shirt jumping on a beach"


def test_the_committed_picture_is_small_and_of_the_scripts_size() -> None:
    assert PICTURE.stat().st_size < 300_000
    texts, blank = prompts(), np.zeros((128, 128, 3), np.uint8)
    rows = {name: [blank] * len(texts) for name in ("base", "HcP")}
    assert Image.open(PICTURE).size == sheet(texts, rows).size


def test_prompts_are_wrapped_to_their_tiles() -> None:
    font = ImageFont.load_default(size=12)
    lines = wrapped("a boy in a white shirt sitting on a bench in a park", font)
    assert " ".join(lines) == "a boy in a white shirt sitting on a bench in a park"
    assert max(font.getlength(line) for line in lines) <= TILE_PX
