"""The traits by which drawn people are described, and what each person shows of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation import body_shape
from hcp.evaluation.skin_tone import TONES, skin_tone
from storage.records import Person

Image8 = NDArray[np.uint8]
TextScorer = Callable[[Sequence[Image8], Sequence[str]], list[float]]
"""As ``hcp.evaluation.similarity.TextScorer``, which loads torch."""

Pairs = Sequence[tuple[str, str]]

CROP_MARGIN = 0.15
"""Of the box's longer side, around a person whose presentation is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """One number of a person, with the bins of its distribution."""

    name: str
    title: str
    note: str
    edges: tuple[float, ...]  # between the bins, ascending
    bins: tuple[str, ...]  # labels: one more than edges
    unit: str = ""
    of: Callable[[Person], float | None] | None = None  # None: needs more than the joints
    lacking: str = "nobody stood or faced the viewer as it needs"  # why no one shows it
    categories: bool = False  # the bins mean something: their shares are tested too
    percent: bool = False

    def bins_of(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """The bin of each value, counted from 0; a value on an edge is in the bin below it."""
        return np.digitize(values, self.edges, right=True)


def _ratio(
    name: str, title: str, note: str, edges: tuple[float, ...], of: Callable[[Person], float | None]
) -> Trait:
    inner = [f"{edge:g}" for edge in edges[:-1]]
    bins = (f"< {edges[0]:g}", *inner, f"≥ {edges[-1]:g}")
    return Trait(name=name, title=title, note=note, edges=edges, bins=bins, of=of)


SKIN_TONE = Trait(
    name="skin_tone",
    title="Apparent skin tone",
    note="angle (ITA) of the cheeks, larger is lighter",
    edges=tuple(least for _, least in TONES[-2::-1]),
    bins=tuple(name for name, _ in TONES[::-1]),
    unit="°",
    lacking="no face was turned to the viewer, large enough and in colour",
    categories=True,
)
SHAPES = (
    _ratio("shoulders_to_torso", "Shoulder width to torso length", "seen from front or behind",
           (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), body_shape.shoulders_to_torso),
    _ratio("hips_to_shoulders", "Hip width to shoulder width", "seen from front or behind",
           (0.4, 0.5, 0.6, 0.7, 0.8, 0.9), body_shape.hips_to_shoulders),
    _ratio("head_to_torso", "Head width to torso length", "larger in children",
           (0.3, 0.4, 0.5, 0.6, 0.7, 0.8), body_shape.head_to_torso),
    _ratio("standing_aspect", "Width to height of a standing person's box", "arms count too",
           (0.25, 0.35, 0.45, 0.55, 0.65, 0.75), body_shape.standing_aspect),
)  # fmt: skip
TRUNK = Trait(
    name="trunk_to_torso",
    title="Trunk width to torso length",
    note="narrowest cut of the mask; clothes count",
    edges=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    bins=("< 0.5", "0.5", "0.6", "0.7", "0.8", "0.9", "≥ 1"),
    lacking="no torso was seen",
)


def presentations(pairs: Pairs) -> list[Trait]:
    """A trait for each pair of texts: 1 where a person's picture is nearer to the first."""
    return [
        Trait(
            name=f"presentation_{i}",
            title=f"“{first}”, not “{second}”",
            note="to which text CLIP finds the person's picture nearer",
            edges=(0.5,),
            bins=(second, first),
            percent=True,
            lacking="nobody was found",
        )
        for i, (first, second) in enumerate(pairs, 1)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One drawn person."""

    prompt: int  # index
    values: Mapping[str, float | None]  # by traits' names; None: not measured


def look_at(
    image: Image8, person: Person, *, prompt: int, mask: NDArray[np.bool_] | None = None
) -> Seen:
    """What one person shows of each trait but presentation; ``mask``: [H, W] of the person."""
    values = {trait.name: trait.of(person) for trait in SHAPES if trait.of is not None}
    values[SKIN_TONE.name] = skin_tone(image, person)
    if mask is not None:
        values[TRUNK.name] = body_shape.trunk_to_torso(person, mask)
    return Seen(prompt=prompt, values=values)


def presented(crops: Sequence[Image8], pairs: Pairs, scorer: TextScorer) -> list[dict[str, float]]:
    """For each person's picture and pair of texts: 1 nearer to the first, 0 to the second."""
    found: list[dict[str, float]] = [{} for _ in crops]
    if not crops:
        return found
    for trait, texts in zip(presentations(pairs), pairs, strict=True):
        first, second = (
            (scorer(crops, [text] * len(crops)) for text in texts) if crops else ((), ())
        )
        for values, ours, theirs in zip(found, first, second, strict=True):
            values[trait.name] = 0.5 if ours == theirs else float(ours > theirs)
    return found


def crop(image: Image8, person: Person) -> Image8:
    """The person's box with a margin, as far as the picture goes; at least one pixel."""
    left, top, right, bottom = person.bbox_xyxy_px
    margin = CROP_MARGIN * max(right - left, bottom - top, 0.0)
    height, width = image.shape[:2]
    x0, y0 = (int(np.clip(v - margin, 0, n - 1)) for v, n in ((left, width), (top, height)))
    x1, y1 = int(np.ceil(right + margin)), int(np.ceil(bottom + margin))
    return image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
