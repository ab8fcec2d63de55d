"""What is looked at of one person."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hcp.evaluation.bias_traits import SKIN_TONE, crop, presented
from tests.hcp.samples import make_person


def test_presentation_is_what_the_scorer_finds_nearer() -> None:
    def scorer(images: Sequence[np.ndarray], texts: Sequence[str]) -> list[float]:
        return [float(image.mean()) * (1 if text == "bright" else -1) + 100
                for image, text in zip(images, texts, strict=True)]  # fmt: skip

    pictures = [np.full((4, 4, 3), level, dtype=np.uint8) for level in (0, 9)]
    shown = presented(pictures, [("bright", "dim"), ("dim", "bright")], scorer)
    assert shown == [
        {"presentation_1": 0.5, "presentation_2": 0.5},
        {"presentation_1": 1.0, "presentation_2": 0.0},
    ]
    assert presented([], [("bright", "dim")], scorer) == []


@pytest.mark.parametrize(
    "box", [(10, 20, 30, 60), (-50, -50, -10, -10), (500, 500, 900, 900), (30, 30, 20, 20)]
)
def test_a_crop_has_pixels_wherever_the_box_lies(box: tuple[float, float, float, float]) -> None:
    part = crop(np.zeros((80, 64, 3), dtype=np.uint8), replace(make_person(), bbox_xyxy_px=box))
    assert min(part.shape) > 0
    if box[0] == 10:
        assert part.shape == (52, 32, 3)


@pytest.mark.parametrize(
    ("angle", "name"),
    [(55.1, "very light"), (55, "light"), (41.1, "light"), (41, "intermediate"), (28, "tan"),
     (10.1, "tan"), (10, "brown"), (-29.9, "brown"), (-30, "dark"), (-80, "dark")],
)  # fmt: skip
def test_the_usual_categories(angle: float, name: str) -> None:
    assert SKIN_TONE.bins[SKIN_TONE.bins_of(np.array([angle]))[0]] == name
