"""The report's pictures: drawn ones by prompt and seed, and photos under the attention of words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hcp.evaluation.people import MIN_SCORE, Opinion, measure_people
from hcp.evaluation.results import BASE
from hcp.pages.figures import heat_overlay, jpeg_uri, outline, skeleton_uri
from hcp.tokens import human_spans

if TYPE_CHECKING:
    from hcp.evaluation.comparison import Pictures
    from hcp.evaluation.mechanism import PhotoMaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A picture with its title and note, and what can be laid over it."""

    title: str
    image: str
    skeleton: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """Pictures of one prompt."""

    prompt: str
    groups: tuple[tuple[int, tuple[Tile, ...]], ...]  # (seed, one tile per arm)


def picture_rows(
    pictures: "Pictures",
    titles: Mapping[str, str],
    *,
    human: bool,
    max_prompts: int,
    max_seeds: int,
) -> list[PictureRow]:
    """The pictures of prompts with people, or of those without; ``titles`` are the arms'."""
    places: dict[str, list[int]] = {}
    for i, prompt in enumerate(pictures.prompts):
        if bool(human_spans(prompt)) == human:
            places.setdefault(prompt, []).append(i)
    return [
        PictureRow(
            prompt=prompt,
            groups=tuple(
                (pictures.seeds[i], _tiles(pictures, titles, i, human=human))
                for i in indices[:max_seeds]
            ),
        )
        for prompt, indices in list(places.items())[:max_prompts]
    ]


def _tiles(
    pictures: "Pictures", titles: Mapping[str, str], i: int, *, human: bool
) -> tuple[Tile, ...]:
    tiles: list[Tile] = []
    for name, title in titles.items():
        image, people = pictures.images[name][i], pictures.people[name][i]
        size_px = (image.shape[1], image.shape[0])
        if human:
            sound = pictures.soundness[name][i] if name in pictures.soundness else ()
            opinions = [Opinion(soundness=each) for each in sound]
            score = measure_people(people, n_expected=None, opinions=opinions).people_score
            note = f"best person {score:.2f}"
        else:
            base = pictures.images[BASE][i].astype(np.int16)
            difference = float(np.abs(image.astype(np.int16) - base).mean())
            note = "bit-identical" if difference == 0 else f"differs by {difference:.3g} levels"
            note = "" if name == BASE else note
        skeleton = skeleton_uri(people, size_px=size_px, min_score=MIN_SCORE) if human else ""
        tiles.append(Tile(title=title, image=jpeg_uri(image), skeleton=skeleton, note=note))
    return tuple(tiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoRow:
    """A held-out photo and the attention of its human words."""

    caption: str
    photo: str
    words: tuple[tuple[str, tuple[Tile, ...]], ...]


def photo_row(photo: "PhotoMaps", title: str) -> PhotoRow:
    """The photo and its first three words; ``title`` is that of what was trained."""
    marked = photo.image.copy()
    marked[outline(photo.mask)] = 255
    words: list[tuple[str, tuple[Tile, ...]]] = []
    for word in photo.words[:3]:
        tiles: list[Tile] = []
        kinds = {"Base": photo.base, title: photo.fused, "M_h alone": photo.human}
        for kind, maps in kinds.items():
            if maps is None:
                continue
            heat = maps[list(word.tokens)].mean(axis=0)
            overlay = heat_overlay(photo.image, heat, mask=photo.mask)
            note = f"{100 * _inside(heat, photo.mask):.0f} % on people"
            tiles.append(Tile(title=kind, image=jpeg_uri(overlay), skeleton="", note=note))
        words.append((word.text, tuple(tiles)))
    return PhotoRow(caption=photo.caption, photo=jpeg_uri(marked), words=tuple(words))


def _inside(heat: np.ndarray, mask: np.ndarray) -> float:
    rows = np.arange(mask.shape[0]) * heat.shape[0] // mask.shape[0]
    columns = np.arange(mask.shape[1]) * heat.shape[1] // mask.shape[1]
    spread = heat[np.ix_(rows, columns)]
    return float(spread[mask].sum() / max(float(spread.sum()), 1e-12))
