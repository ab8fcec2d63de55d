"""The report's section on who is drawn: distributions of base and candidate, and what was found."""

from collections.abc import Mapping
from dataclasses import dataclass

from hcp.evaluation.bias_results import BiasReport, Shift, TraitReport
from hcp.evaluation.results import BASE, CANDIDATE

WIDTH, HEIGHT = 360, 170
"""Of a chart, in the units of its view box."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 6, 10, 34
_BAR = 0.4  # of a bin's width
_LETTER = 6.2  # width of a label's letter, about


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar, in the units of the view box."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """A trait's distributions: hollow bars for the base, filled ones for the candidate."""

    title: str
    note: str
    bars: Mapping[str, tuple[Bar, ...]]  # by arm
    labels: tuple[tuple[float, str], ...]  # x, text
    lines: tuple[tuple[float, str], ...]  # y, text
    facts: tuple[str, ...]  # sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasSection:
    """All of the section."""

    lead: str
    verdict: str
    histograms: tuple[Histogram, ...]
    arms: tuple[tuple[str, str], ...]  # name, title
    width: int = WIDTH
    height: int = HEIGHT


def bias_section(report: BiasReport | None, titles: Mapping[str, str]) -> BiasSection | None:
    """The section; None where it was not asked for."""
    if report is None:
        return None
    shifts = [(trait, shift) for trait in report.traits for shift in trait.shifts]
    found = [f"{trait.title} ({shift.what})" for trait, shift in shifts if shift.found]
    n = len(report.config.seeds)
    lead = (
        f"{report.n_prompts} prompts that name no tone, build or gender, {n} pictures each. "
        "Measured is how people look in the pictures, not who anybody is: light and style count "
        "too. Every prompt counts the same."
    )
    if not shifts:
        verdict = "Nothing could be compared."
    elif found:
        verdict = f"Differs from the base in: {'; '.join(found)}."
    else:
        verdict = (
            "No difference from the base was found; below stands how large a shift would have "
            f"been found in {report.config.power:.0%} of such evaluations."
        )
    return BiasSection(
        lead=lead,
        verdict=verdict,
        histograms=tuple(_histogram(trait, titles) for trait in report.traits),
        arms=tuple((name, titles[name]) for name in (BASE, CANDIDATE)),
    )


def _histogram(trait: TraitReport, titles: Mapping[str, str]) -> Histogram:
    top = max(0.1, *(share for arm in trait.arms.values() for share in arm.shares))
    inside, step = HEIGHT - _TOP - _BOTTOM, (WIDTH - _LEFT - _RIGHT) / len(trait.bins)
    bars: dict[str, tuple[Bar, ...]] = {}
    for place, name in enumerate((BASE, CANDIDATE)):
        bars[name] = tuple(
            Bar(
                x=_LEFT + step * (i + 0.5 + _BAR * (place - 1)),
                y=_TOP + inside * (1 - share / top),
                width=step * _BAR,
                height=inside * share / top,
                title=f"{titles[name]}, {label}: {share:.1%}",
            )
            for i, (label, share) in enumerate(
                zip(trait.bins, trait.arms[name].shares, strict=True)
            )
        )
    most = int(2 * step / _LETTER)  # labels stand in two rows, by turns
    short = [label if len(label) <= most else f"{label[: most - 1]}…" for label in trait.bins]
    return Histogram(
        title=trait.title,
        note=trait.note,
        bars=bars,
        labels=tuple((_LEFT + step * (i + 0.5), label) for i, label in enumerate(short)),
        lines=tuple((_TOP + inside * (1 - part), f"{part * top:.0%}") for part in (0, 0.5, 1)),
        facts=(_means(trait, titles), *(_fact(trait, shift) for shift in trait.shifts)),
    )


def _means(trait: TraitReport, titles: Mapping[str, str]) -> str:
    own = [
        f"{titles[name]} {_amount(arm.mean, trait)} "
        + ("" if trait.percent else f"± {_amount(arm.spread, trait)} ")
        + f"({arm.n_measured} of {arm.n_people} people)"
        for name, arm in trait.arms.items()
    ]
    return f"{', '.join(own)}; {trait.n_prompts} prompts."


def _fact(trait: TraitReport, shift: Shift) -> str:
    """What was found, or what would have been."""
    p = "p < .001" if shift.p_corrected < 0.001 else f"p = {shift.p_corrected:.3f}"
    d = shift.difference
    if shift.what == "distribution":
        said = (
            f"Distribution: {d.mean:.1%} of people in another category "
            f"({d.low:.1%} to {d.high:.1%}; {shift.chance:.1%} by chance alone), {p}."
        )
    else:
        low, mean, high = (_amount(v, trait, signed=True) for v in (d.low, d.mean, d.high))
        what = "Mean" if shift.what == "mean" else shift.what[0].upper() + shift.what[1:]
        said = f"{what}: difference {mean} ({low} to {high}), {p}."
    if shift.found:
        return f"{said} Found."
    if shift.smallest_found is None:
        return f"{said} Too few prompts: no shift, however large, would have been found."
    least = (
        f"{shift.smallest_found:.1%}"
        if shift.what == "distribution"
        else _amount(shift.smallest_found, trait)
    )
    return f"{said} No difference found; {least} or more would have been."


def _amount(value: float, trait: TraitReport, *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if trait.percent:
        return f"{value:{sign}.1%}"
    return f"{value:{sign}.1f}{trait.unit}" if trait.unit else f"{value:{sign}.3f}"
