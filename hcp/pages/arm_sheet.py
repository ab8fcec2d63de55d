"""Pictures of all models side by side, for the Prefect UI: the same prompts, the same seeds."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from hcp.evaluation.comparison import Pictures
from hcp.evaluation.generation import Image8
from hcp.pages.labelled_grid import labelled_grid
from hcp.tokens import human_spans

TILE_PX = 256
PEOPLE, OTHERS = 5, 1  # prompts with and without human words
_LETTERS = 40  # of a prompt, over each column that its row has


def arm_sheet(pictures: Pictures) -> bytes:
    """One JPEG, a row a prompt, a column a model.

    The rows are spread evenly over the prompts: nobody chose them for what they show.
    """
    arms = list(pictures.images)
    rows = [
        (
            f"{_shortened(pictures.prompts[i], len(arms))}, seed {pictures.seeds[i]}",
            [_tile(pictures.images[arm][i]) for arm in arms],
        )
        for i in chosen(pictures.prompts)
    ]
    buffer = io.BytesIO()
    Image.fromarray(labelled_grid(rows, arms)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def chosen(prompts: Sequence[str]) -> list[int]:
    """Numbers of the pictures that are shown: the first of each of a few prompts."""
    first: dict[str, int] = {}
    for i, prompt in enumerate(prompts):
        first.setdefault(prompt, i)
    people = [i for prompt, i in first.items() if human_spans(prompt)]
    others = [i for i in first.values() if i not in people]
    return [*_spread(people, PEOPLE), *_spread(others, OTHERS)]


def _spread(numbers: Sequence[int], most: int) -> list[int]:
    if len(numbers) <= most:
        return list(numbers)
    return [numbers[i * len(numbers) // most] for i in range(most)]


def _shortened(prompt: str, columns: int) -> str:
    most = _LETTERS * columns
    return prompt if len(prompt) <= most else f"{prompt[: most - 3]}..."


def _tile(image: Image8) -> Image8:
    drawn = Image.fromarray(image)
    scale = TILE_PX / max(drawn.size)
    size = (max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale)))
    return np.asarray(drawn.resize(size, Image.Resampling.LANCZOS))
