"""Do drawn people wear the colours that the prompt asks for? Looked at where keypoints say.

Ours (DESIGN 7); none of it is from the paper.

Dimension legend: N pixels of a region.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hcp.evaluation.colour import NAMED_COLOURS, ClothingConfig, median_lab, nearest_colour
from hcp.evaluation.comparison import Image8, Pictures
from hcp.evaluation.measures import Measure, with_pictures_measured
from hcp.evaluation.people import MIN_CONFIDENCE, counted_people
from hcp.evaluation.results import EvaluationReport, MeasureCard
from hcp.evaluation.similarity import TextScorer
from hcp.tokens.clothing import Garment, Region, asked_clothes
from storage.records import Person

MIN_PIXELS = 6
"""Fewer pixels of a region say nothing of a garment's colour."""
MAX_ASKED = 8  # people of a prompt that are told apart

Tells = Callable[[Image8, Person, Garment], bool | None]
"""Is the person's garment of the colour asked? None: its place is not seen."""
Segment = tuple[NDArray[np.float64], NDArray[np.float64], float]  # from, to, radius, all in pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class ClothingShare:
    """Of one picture, in [0, 1]; None where the prompt asks for no colour."""

    asked: float | None  # of the garments asked for; one of nobody, or not seen, counts as wrong
    seen: float | None  # of those whose place is seen


def colour_measure(config: ClothingConfig) -> Measure:
    """Clothes in the colour asked, by the palette's colour nearest to the region's median."""
    exact = config.palette != NAMED_COLOURS
    how = f"nearest of {len(config.palette)} colours" + ("" if exact else ", an approximation")

    def measure(report: EvaluationReport, pictures: Pictures) -> EvaluationReport:
        tells = by_palette(config)
        return _measured(report, pictures, tells, config, name="clothing_colour", how=how)

    return measure


def text_measure(scorer: TextScorer, config: ClothingConfig) -> Measure:
    """The same by a region text score: the asked colour wins over the garment in the others."""
    how = f"CLIP of the region: the asked one of {len(config.palette)} colours wins"

    def measure(report: EvaluationReport, pictures: Pictures) -> EvaluationReport:
        tells = by_text(scorer, config)
        return _measured(report, pictures, tells, config, name="clothing_text", how=how)

    return measure


def _measured(
    report: EvaluationReport,
    pictures: Pictures,
    tells: Tells,
    config: ClothingConfig,
    *,
    name: str,
    how: str,
) -> EvaluationReport:
    wanted = {
        prompt: [[g for g in person if g.colour in config.palette] for person in asked]
        for prompt, asked in ((p, asked_clothes(p)) for p in dict.fromkeys(pictures.prompts))
    }
    shares = {
        arm: [
            clothing_share(image, people, wanted[prompt], tells)
            for image, people, prompt in zip(
                images, pictures.people[arm], pictures.prompts, strict=True
            )
        ]
        for arm, images in pictures.images.items()
    }
    colours = ", ".join(config.palette)
    card = MeasureCard(
        name=name, title="Clothes in the colour asked", note=how, better="higher", percent=True
    )
    report = with_pictures_measured(
        report, pictures, card, {arm: [s.asked for s in found] for arm, found in shares.items()},
        why=f"no prompt says that somebody wears one of these colours: {colours}",
    )  # fmt: skip
    seen = MeasureCard(
        name=f"{name}_seen", title="… of clothes that are seen", note=how, better="higher",
        percent=True,
    )  # fmt: skip
    return with_pictures_measured(
        report, pictures, seen, {arm: [s.seen for s in found] for arm, found in shares.items()},
        why="no garment whose colour a prompt asks for is seen in the base's pictures",
    )  # fmt: skip


def clothing_share(
    image: Image8,
    people: Sequence[Person],
    asked: Sequence[Sequence[Garment]],
    tells: Tells,
) -> ClothingShare:
    """How many of the garments that a prompt asks for have their colour, in one picture.

    Args:
        people: detections of any score; as many of the best count as the prompt has people.
        asked: the garments of each of the prompt's people. Who is who the prompt does not say, so
            they are given to the people found in the way that suits the picture best.
    """
    wanted = [person for person in asked if person][:MAX_ASKED]
    total = sum(map(len, wanted))
    if not total:
        return ClothingShare(asked=None, seen=None)
    best: dict[int, tuple[int, int]] = {0: (0, 0)}  # who was given -> garments right, seen
    for person in counted_people(people)[: len(asked)]:
        told = [[tells(image, person, garment) for garment in each] for each in wanted]
        for given, (right, seen) in list(best.items()):
            for i, answers in enumerate(told):
                known = [answer for answer in answers if answer is not None]
                option = (right + sum(known), seen + len(known))
                key = given | 1 << i
                if key != given and option > best.get(key, (-1, 0)):
                    best[key] = option
    right, seen = max(best.values())
    return ClothingShare(asked=right / total, seen=right / seen if seen else None)


def by_palette(config: ClothingConfig) -> Tells:
    """Tells by the palette's colour nearest to the median of the garment's region."""

    def tell(image: Image8, person: Person, garment: Garment) -> bool | None:
        pixels = region_pixels(image, person, garment.region)
        if len(pixels) < MIN_PIXELS:
            return None
        return nearest_colour(median_lab(pixels), config.palette) == garment.colour

    return tell


def by_text(scorer: TextScorer, config: ClothingConfig) -> Tells:
    """Tells by which colour's text suits a crop of the garment's region best."""

    def tell(image: Image8, person: Person, garment: Garment) -> bool | None:
        inside = region_mask(image.shape[:2], person, garment.region)
        if inside.sum() < MIN_PIXELS:
            return None
        ys, xs = np.nonzero(inside)
        margin = max(np.ptp(ys), np.ptp(xs)) // 4 + 1
        crop = image[max(ys.min() - margin, 0) : ys.max() + margin + 1,
                     max(xs.min() - margin, 0) : xs.max() + margin + 1]  # fmt: skip
        texts = [f"a photo of {colour} {garment.noun}" for colour in config.palette]
        scores = scorer([np.ascontiguousarray(crop)] * len(texts), texts)
        return tuple(config.palette)[int(np.argmax(scores))] == garment.colour

    return tell


def region_pixels(image: Image8, person: Person, region: Region) -> NDArray[np.uint8]:
    """The picture's pixels [N, 3] where the person's garment is; none where joints are not seen."""
    return image[region_mask(image.shape[:2], person, region)]


def region_mask(size_hw: tuple[int, ...], person: Person, region: Region) -> NDArray[np.bool_]:
    """Pixels near the middle of the torso or of the legs, away from the outline and the skin."""
    points = np.array(person.keypoints, dtype=np.float64).reshape(17, 3)
    seen, xy = points[:, 2] >= MIN_CONFIDENCE, points[:, :2]
    segments = _torso(xy, seen) if region == "torso" else _legs(xy, seen, region)
    mask = np.zeros(size_hw, dtype=bool)
    ys, xs = np.mgrid[: size_hw[0], : size_hw[1]]
    for start, end, radius in segments:
        along = end - start
        t = ((xs - start[0]) * along[0] + (ys - start[1]) * along[1]) / max(along @ along, 1e-9)
        t = np.clip(t, 0.0, 1.0)
        distance = np.hypot(xs - start[0] - t * along[0], ys - start[1] - t * along[1])
        mask |= distance <= radius
    return mask


def _torso(xy: NDArray[np.float64], seen: NDArray[np.bool_]) -> list[Segment]:
    if not seen[[5, 6, 11, 12]].all():
        return []
    top, bottom = xy[[5, 6]].mean(axis=0), xy[[11, 12]].mean(axis=0)
    length = float(np.hypot(*(bottom - top)))
    width = max(float(np.hypot(*(xy[a] - xy[b]))) / 2 for a, b in ((5, 6), (11, 12)))
    radius = float(np.clip(0.5 * width, 0.1 * length, 0.25 * length))  # narrow from the side
    return [(top + 0.25 * (bottom - top), top + 0.8 * (bottom - top), radius)]


def _legs(xy: NDArray[np.float64], seen: NDArray[np.bool_], region: Region) -> list[Segment]:
    low, high = (0.25, 1.0) if region == "legs" else (0.1, 0.4)
    found: list[Segment] = []
    for hip, knee in ((11, 13), (12, 14)):
        if seen[[hip, knee]].all():
            thigh = xy[knee] - xy[hip]
            radius = max(0.1 * float(np.hypot(*thigh)), 0.7)
            found.append((xy[hip] + low * thigh, xy[hip] + high * thigh, radius))
    return found
