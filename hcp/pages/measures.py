"""The report's numbers: a row for each measure, a bar for each paired difference."""

from dataclasses import dataclass, replace

from hcp.evaluation.interval import Interval
from hcp.evaluation.results import (
    BASE,
    CANDIDATE,
    CHAMPION,
    ArmReport,
    EvaluationReport,
    MeasureCard,
)

_TITLES = {
    "hcp": "HcP", "lora": "LoRA", "attention": "Attention", "region": "Region", "full": "Full",
}  # fmt: skip


def number(value: float | None) -> str:
    """Three digits, or a dash."""
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001 - the dash is meant


def percent(value: float | None) -> str:
    """A share in percent, or a dash."""
    return "–" if value is None else f"{100 * value:.1f} %"  # noqa: RUF001 - the dash is meant


def arm_titles(report: EvaluationReport) -> dict[str, str]:
    """Names of the models that were measured, with their titles: the candidate's is its method."""
    name, plus, variants = report.methods.get(CANDIDATE, "hcp").partition("+")
    ours = f"{_TITLES[name]}{plus}{variants}"
    titles = {BASE: "Base", CANDIDATE: ours, CHAMPION: "Champion"}
    return {arm: title for arm, title in titles.items() if arm in report.arms}


def arms(report: EvaluationReport) -> list[tuple[str, str]]:
    """Name and title of each model that was measured."""
    return list(arm_titles(report).items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measure of all models."""

    title: str
    note: str
    values: tuple[str, ...]  # one per arm
    best: tuple[bool, ...]


_MEASURES = (  # field, title, note, larger is better, as a percentage
    (
        "people_score",
        "People score",
        "detection, keypoint confidence and plausible limbs, multiplied",  # and see _people_note
        1,
        0,
    ),
    ("detection_rate", "Pictures with a person", "of prompts that ask for people", 1, 1),
    ("pose_as_asked", "Pose as asked", "people who do what the prompt says", 1, 1),
    ("pose_distance", "Distance to a real pose", "0 to 1, nearest of the dataset", -1, 0),
    ("count_error", "Count error", "people found against people asked for", -1, 0),
    ("keypoint_confidence", "Keypoint confidence", "mean over seen keypoints", 1, 0),
    ("implausible_limb_rate", "Implausible limbs", "longer than proportions allow", -1, 1),
    ("attention_share", "Attention on people", "human words, held-out photos", 1, 1),
    ("human_map_share", "… of the human map alone", "M_h", 1, 1),
    ("text_score", "CLIP score", "picture against prompt", 1, 0),
    ("fid", "FID", "to photos, given feature network", -1, 0),
    ("kid", "KID", "to photos, given feature network", -1, 0),
    ("pixel_difference", "Change without people", "mean absolute, of 255 levels", 0, 0),
    ("identical_share", "… bit-identical pictures", "prompts without people", 0, 1),
)


_DIRECTIONS = {"higher": 1, "lower": -1, "neither": 0}


def _value(arm: ArmReport, name: str, scale: float) -> float | None:
    value = arm.more[name] if name in arm.more else getattr(arm, name, None)
    return None if value is None else scale * value


def _note(card: MeasureCard) -> str:
    if card.photos is None:
        return card.note
    shown = percent(card.photos) if card.percent else number(card.scale * card.photos)
    return f"{card.note}; real photos {shown}"


def _scaled(interval: Interval | None, scale: float) -> Interval | None:
    if interval is None or scale == 1.0:
        return interval
    mean, low, high = (scale * v for v in (interval.mean, interval.low, interval.high))
    return replace(interval, mean=mean, low=low, high=high)


def _people_note(report: EvaluationReport) -> str:
    """What the people score is a product of, in this report."""
    parts = ["detection", "keypoint confidence", "plausible limbs"]
    parts += [] if "soundness" in report.not_measured else ["sound bodies"]
    parts += [] if "pose_as_asked" in report.not_measured else ["pose as asked"]
    return f"{', '.join(parts[:-1])} and {parts[-1]}, multiplied"


def measure_rows(report: EvaluationReport) -> list[Measure]:
    """The table of numbers; what no model was measured by is left out."""
    rows: list[Measure] = []
    cards = [
        (card.name, card.title, _note(card), _DIRECTIONS[card.better], card.percent)
        for card in report.cards
    ]
    scales = {card.name: card.scale for card in report.cards}
    for name, title, note, direction, aspercent in (
        *(row for row in _MEASURES if row[0] not in scales),
        *cards,
    ):
        scale = scales.get(name, 1.0)
        values = [_value(report.arms[arm], name, scale) for arm, _ in arms(report)]
        known = [direction * v for v in values if v is not None]
        if not known:
            continue
        rows.append(
            Measure(
                title=title,
                note=_people_note(report) if name == "people_score" else note,
                values=tuple(percent(v) if aspercent else number(v) for v in values),
                best=tuple(
                    v is not None and direction != 0 and len(set(known)) > 1
                    and direction * v == max(known)
                    for v in values
                ),
            )
        )  # fmt: skip
    return rows


def missing_rows(report: EvaluationReport) -> list[tuple[str, str]]:
    """Title of each measure that was not taken of some model, and why."""
    titles = {name: title for name, title, *_ in _MEASURES}
    titles |= {card.name: card.title for card in report.cards}
    return [
        (titles.get(name, name.replace("_", " ").capitalize()), why)
        for name, why in report.not_measured.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One paired difference, with its bar."""

    title: str
    interval: Interval
    span: tuple[float, float, float]  # low, mean, high in percent of the bar, zero at 50


def _inside(title: str) -> str:
    # of a sentence: names of capitals alone keep them
    return title if title[1:2].isupper() else title[0].lower() + title[1:]


def differences(report: EvaluationReport) -> list[Difference]:
    """The bars of paired differences."""
    found: list[Difference] = []
    titles = arm_titles(report)
    for other, comparison in report.comparisons.items():
        for title, interval in (
            ("people score", comparison.people_score),
            ("pose as asked", comparison.pose_as_asked),
            ("attention on people", comparison.attention_share),
            ("CLIP score", comparison.text_score),
            *(
                (_inside(card.title), _scaled(comparison.more.get(card.name), card.scale))
                for card in report.cards
            ),
        ):
            if interval is None:
                continue
            reach = 1.15 * max(abs(interval.low), abs(interval.high), abs(interval.mean)) or 1.0
            low, mean, high = (
                50 + 50 * v / reach for v in (interval.low, interval.mean, interval.high)
            )
            title = f"{titles[CANDIDATE]} against {titles[other]}: {title}"
            found.append(Difference(title=title, interval=interval, span=(low, mean, high)))
    return found
