"""One self-contained HTML page: an evaluation, a training run, a dataset version, or all three.

Sections without data are left out. No scripts, no external addresses; prompts and captions are
escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hcp.evaluation.interval import Interval
from hcp.evaluation.people import MIN_SCORE, measure_people
from hcp.evaluation.promotion import Verdict
from hcp.evaluation.results import BASE, CANDIDATE, CHAMPION, EvaluationReport
from hcp.pages.figures import (
    Chart,
    Image8,
    heat_overlay,
    jpeg_uri,
    line_chart,
    outline,
    skeleton_uri,
)
from hcp.pose_image import decode_image, draw_people
from hcp.tokens import human_spans
from storage.extras import explained_imports
from storage.locations import normalised, write_atomic
from storage.records import Sample

with explained_imports():
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

if TYPE_CHECKING:
    from hcp.evaluation.comparison import Pictures
    from hcp.evaluation.mechanism import PhotoMaps
    from hcp.training.trainer import StepMetrics

TEMPLATES = Path(__file__).parent / "templates"
ARM_TITLES = {BASE: "Base", CANDIDATE: "HcP", CHAMPION: "Champion"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSection:
    """What the page says about a dataset version."""

    version: str
    n_samples: int
    n_rejects: int
    rejects_by_reason: Mapping[str, int]
    gallery: Sequence[Sample] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything a page can show; what is empty is left out."""

    title: str
    subtitle: str = ""
    verdict: Verdict | None = None
    report: EvaluationReport | None = None
    pictures: "Pictures | None" = None
    photos: "Sequence[PhotoMaps]" = ()  # the candidate's, with its maps
    map_sheet: Image8 | None = None  # of one drawn picture: hcp.pages.map_sheet
    metrics: "Sequence[StepMetrics]" = ()
    dataset: DatasetSection | None = None
    facts: Mapping[str, str] = field(default_factory=dict[str, str])  # configuration, versions
    max_prompts: int = 12
    max_seeds: int = 2
    max_photos: int = 6


def write_report(path: str | Path, data: ReportData) -> str:
    """Write the page to a path or URL, replacing what is there; the place it was written to."""
    uri = normalised(path)
    directory, name = uri.rsplit("/", 1)
    write_atomic(directory, name, render(data).encode())
    return uri


def page_environment() -> Environment:
    """What every page is rendered in: values are escaped, a missing one is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(data: ReportData) -> str:
    """The page as HTML."""
    environment = page_environment()
    environment.filters["num"] = _number
    environment.filters["percent"] = _percent
    return environment.get_template("report.html.j2").render(
        data=data,
        arms=_arms(data.report),
        measures=_measure_rows(data.report),
        differences=_differences(data.report),
        people_rows=_picture_rows(data, human=True),
        scene_rows=_picture_rows(data, human=False),
        photos=[_photo(photo) for photo in data.photos[: data.max_photos]],
        map_sheet=None if data.map_sheet is None else jpeg_uri(data.map_sheet, max_px=1400),
        charts=_charts(data.metrics),
        rejects=_rejects(data.dataset),
        gallery=_gallery(data.dataset),
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"  # noqa: RUF001 - the dash is meant


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"  # noqa: RUF001 - the dash is meant


def _arms(report: EvaluationReport | None) -> list[tuple[str, str]]:
    names = report.arms if report else ()
    return [(name, ARM_TITLES[name]) for name in ARM_TITLES if name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    title: str
    note: str
    values: tuple[str, ...]  # one per arm
    best: tuple[bool, ...]


_MEASURES = (  # field, title, note, larger is better, as a percentage
    (
        "people_score",
        "People score",
        "detection, keypoint confidence and plausible limbs, multiplied",
        1,
        0,
    ),
    ("detection_rate", "Pictures with a person", "of prompts that ask for people", 1, 1),
    ("count_error", "Count error", "people found against people asked for", -1, 0),
    ("keypoint_confidence", "Keypoint confidence", "mean over seen keypoints", 1, 0),
    ("implausible_limb_rate", "Implausible limbs", "longer than proportions allow", -1, 1),
    ("attention_share", "Attention on people", "human words, held-out photos", 1, 1),
    ("human_map_share", "… of the human map alone", "M_h", 1, 1),
    ("text_score", "CLIP score", "picture against prompt", 1, 0),
    ("fid", "FID", "to held-out photos, given feature network", -1, 0),
    ("kid", "KID", "to held-out photos, given feature network", -1, 0),
    ("pixel_difference", "Change without people", "mean absolute, of 255 levels", 0, 0),
    ("identical_share", "… bit-identical pictures", "prompts without people", 0, 1),
)


def _measure_rows(report: EvaluationReport | None) -> list[_Measure]:
    rows: list[_Measure] = []
    for name, title, note, direction, as_percent in _MEASURES:
        if report is None or name in report.not_measured:
            continue
        values: list[float | None] = [getattr(report.arms[a], name) for a, _ in _arms(report)]
        known = [direction * v for v in values if v is not None]
        if not known:
            continue
        rows.append(
            _Measure(
                title=title,
                note=note,
                values=tuple(_percent(v) if as_percent else _number(v) for v in values),
                best=tuple(
                    v is not None and direction != 0 and len(set(known)) > 1
                    and direction * v == max(known)
                    for v in values
                ),
            )
        )  # fmt: skip
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    title: str
    interval: Interval
    span: tuple[float, float, float]  # low, mean, high in percent of the bar, zero at 50


def _differences(report: EvaluationReport | None) -> list[_Difference]:
    found: list[_Difference] = []
    for other, comparison in (report.comparisons if report else {}).items():
        for title, interval in (
            ("people score", comparison.people_score),
            ("attention on people", comparison.attention_share),
            ("CLIP score", comparison.text_score),
        ):
            if interval is None:
                continue
            reach = 1.15 * max(abs(interval.low), abs(interval.high), abs(interval.mean)) or 1.0
            low, mean, high = (
                50 + 50 * v / reach for v in (interval.low, interval.mean, interval.high)
            )
            title = f"{ARM_TITLES[CANDIDATE]} against {ARM_TITLES[other]}: {title}"
            found.append(_Difference(title=title, interval=interval, span=(low, mean, high)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tile:
    title: str
    image: str
    skeleton: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _PictureRow:
    prompt: str
    groups: tuple[tuple[int, tuple[_Tile, ...]], ...]  # (seed, one tile per arm)


def _picture_rows(data: ReportData, *, human: bool) -> list[_PictureRow]:
    if data.pictures is None:
        return []
    pictures = data.pictures
    places: dict[str, list[int]] = {}
    for i, prompt in enumerate(pictures.prompts):
        if bool(human_spans(prompt)) == human:
            places.setdefault(prompt, []).append(i)
    return [
        _PictureRow(
            prompt=prompt,
            groups=tuple(
                (pictures.seeds[i], _tiles(pictures, i, human=human))
                for i in indices[: data.max_seeds]
            ),
        )
        for prompt, indices in list(places.items())[: data.max_prompts]
    ]


def _tiles(pictures: "Pictures", i: int, *, human: bool) -> tuple[_Tile, ...]:
    tiles: list[_Tile] = []
    for name, title in ARM_TITLES.items():
        if name not in pictures.images:
            continue
        image, people = pictures.images[name][i], pictures.people[name][i]
        size_px = (image.shape[1], image.shape[0])
        if human:
            score = measure_people(people, n_expected=None).people_score
            note = f"best person {score:.2f}"
        else:
            base = pictures.images[BASE][i].astype(np.int16)
            difference = float(np.abs(image.astype(np.int16) - base).mean())
            note = "bit-identical" if difference == 0 else f"differs by {difference:.3g} levels"
            note = "" if name == BASE else note
        skeleton = skeleton_uri(people, size_px=size_px, min_score=MIN_SCORE) if human else ""
        tiles.append(_Tile(title=title, image=jpeg_uri(image), skeleton=skeleton, note=note))
    return tuple(tiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class _PhotoRow:
    caption: str
    photo: str
    words: tuple[tuple[str, tuple[_Tile, ...]], ...]


def _photo(photo: "PhotoMaps") -> _PhotoRow:
    marked = photo.image.copy()
    marked[outline(photo.mask)] = 255
    words: list[tuple[str, tuple[_Tile, ...]]] = []
    for word in photo.words[:3]:
        tiles: list[_Tile] = []
        for title, maps in (("Base", photo.base), ("HcP", photo.fused), ("M_h alone", photo.human)):
            if maps is None:
                continue
            heat = maps[list(word.tokens)].mean(axis=0)
            overlay = heat_overlay(photo.image, heat, mask=photo.mask)
            note = f"{100 * _inside(heat, photo.mask):.0f} % on people"
            tiles.append(_Tile(title=title, image=jpeg_uri(overlay), skeleton="", note=note))
        words.append((word.text, tuple(tiles)))
    return _PhotoRow(caption=photo.caption, photo=jpeg_uri(marked), words=tuple(words))


def _inside(heat: np.ndarray, mask: np.ndarray) -> float:
    rows = np.arange(mask.shape[0]) * heat.shape[0] // mask.shape[0]
    columns = np.arange(mask.shape[1]) * heat.shape[1] // mask.shape[1]
    spread = heat[np.ix_(rows, columns)]
    return float(spread[mask].sum() / max(float(spread.sum()), 1e-12))


def _charts(metrics: "Sequence[StepMetrics]") -> list[Chart]:
    if len(metrics) < 2:
        return []
    steps = [m.step for m in metrics]
    return [
        line_chart("Denoising loss", steps, [m.denoise for m in metrics]),
        line_chart("Alignment loss", steps, [m.alignment for m in metrics]),
        line_chart("Images per second", steps, [m.images_per_s for m in metrics]),
    ]


def _rejects(dataset: DatasetSection | None) -> list[tuple[str, int, float]]:
    if dataset is None:
        return []
    most = max(dataset.rejects_by_reason.values(), default=1) or 1
    ordered = sorted(dataset.rejects_by_reason.items(), key=lambda item: (-item[1], item[0]))
    return [(reason.replace("_", " "), n, 100 * n / most) for reason, n in ordered if n]


def _gallery(dataset: DatasetSection | None) -> list[tuple[str, str]]:
    if dataset is None:
        return []
    return [
        (jpeg_uri(draw_people(decode_image(sample), sample)), sample.caption)
        for sample in dataset.gallery
    ]
