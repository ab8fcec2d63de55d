"""What an ablation's variants say: tables by question, and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.artifacts import Cell
from flows.differences import to_base, to_default
from flows.outcomes import VariantOutcome
from flows.variants import DEFAULT, VARIANTS, Changes, Question
from hcp.evaluation.interval import Interval, mean_of_known
from hcp.evaluation.results import BASE, CANDIDATE, MeasureCard

Runs = Mapping[str, Sequence[VariantOutcome]]
"""Variant -> its trainings, one for each seed."""

BYTES_EACH = 2  # of a weight, as exported in float16
_CARDS = (
    MeasureCard(name="people_score", title="people score", note="", better="higher"),
    MeasureCard(name="pose_as_asked", title="pose as asked", note="", better="higher"),
    MeasureCard(name="text_score", title="text score", note="", better="higher"),
)
_ATTENTION = MeasureCard(
    name="attention_share", title="attention inside people", note="", better="higher"
)


def runs_of(outcomes: Sequence[VariantOutcome]) -> dict[str, list[VariantOutcome]]:
    """The outcomes by variant."""
    found: dict[str, list[VariantOutcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.variant, []).append(outcome)
    return found


def measured(runs: Runs) -> list[MeasureCard]:
    """The measures of single pictures or photos that some evaluation has, in the tables' order."""
    reports = [each.evaluation.figures for own in runs.values() for each in own]
    more = {card.name: card for report in reports for card in report.cards}
    cards = [*_CARDS, _ATTENTION, *more.values()]
    return [
        card
        for card in cards
        if any(card.name in (*report.scores, *report.photo_scores) for report in reports)
    ]


def question_table(
    question: Question, runs: Runs, changes: Mapping[str, Changes]
) -> tuple[dict[str, Cell], ...]:
    """One row for the default and each variant: differences with intervals, and what it weighs."""
    names = [DEFAULT, *question.variants]
    cards = measured(runs)
    return tuple(
        variant_row(name, runs, cards, changes.get(name, VARIANTS.get(name, {})))
        for name in names
        if name in runs
    )


def variant_row(
    name: str, runs: Runs, cards: Sequence[MeasureCard], changes: Changes
) -> dict[str, Cell]:
    """A variant's row; what was not measured has a dash."""
    own, default = runs[name], runs.get(DEFAULT, ())
    said = ", ".join(f"{path}={value}" for path, value in changes.items()) or "as given"
    row: dict[str, Cell] = {"variant": name, "training": said, "seeds": len(own)}
    for card in cards:
        row[card.title] = _number(_mean(own, card))
        against = None if name == DEFAULT else to_default(own, default, card.name)
        row[f"{card.title}, to default"] = text_of(against)
        row[f"{card.title}, to base"] = text_of(to_base(own, card.name))
    alignment = [each.train.last["alignment"] if aligned(each) else None for each in own]
    row["alignment"] = _number(mean_of_known(alignment))
    row["drift without people"] = _number(_arm_mean(own, "pixel_difference"))
    if (kid := _arm_mean(own, "kid")) is not None:
        row["KID"] = _number(kid)
    row["parameters"] = parameters(own[0])
    row["MB in float16"] = round(parameters(own[0]) * BYTES_EACH / 1e6, 2)
    return row


def parameters(outcome: VariantOutcome) -> int:
    """Trained ones."""
    return outcome.evaluation.figures.parameters.get(CANDIDATE, 0)


def aligned(outcome: VariantOutcome) -> bool:
    """Whether its method has an alignment loss."""
    method = outcome.evaluation.figures.methods.get(CANDIDATE, "hcp")
    return method.partition("+")[0] in ("hcp", "attention")


def text_of(interval: Interval | None) -> str:
    """A mean and its interval, or a dash."""
    if interval is None:
        return "-"
    return f"{interval.mean:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"


def _number(value: float | None) -> Cell:
    return "-" if value is None else round(value, 4)


def _mean(runs: Sequence[VariantOutcome], card: MeasureCard) -> float | None:
    return _arm_mean(runs, card.name)


def _arm_mean(runs: Sequence[VariantOutcome], name: str) -> float | None:
    arms = [each.evaluation.figures.arms[CANDIDATE] for each in runs]
    values: list[Any] = [arm.more.get(name, getattr(arm, name, None)) for arm in arms]
    return mean_of_known(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A variant's difference to the default by one measure, and what may be said of it."""

    card: MeasureCard
    interval: Interval
    enough: bool  # prompts or photos for a claim

    @property
    def clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.enough and not self.interval.low <= 0 <= self.interval.high

    def text(self) -> str:
        """The difference in words."""
        better = self.interval.mean > 0
        if self.card.better == "neither":
            word = "higher" if better else "lower"
        else:
            word = "better" if better == (self.card.better == "higher") else "worse"
        between = f"{text_of(self.interval)}"
        return (
            f"{self.card.title} **{word}**, {between}"
            if self.clear
            else (f"{self.card.title} {between}")
        )


def claims(name: str, runs: Runs, *, min_units: int) -> list[Claim]:
    """What a variant changes, by each measure that both it and the default have."""
    found: list[Claim] = []
    for card in measured(runs):
        interval = to_default(runs[name], runs.get(DEFAULT, ()), card.name)
        if interval is not None:
            found.append(Claim(card=card, interval=interval, enough=interval.n >= min_units))
    return found


def learnt(
    questions: Mapping[str, Question],
    runs: Runs,
    *,
    failed: Mapping[str, str],
    same: Sequence[str],
    min_units: int,
) -> str:
    """Markdown: each question with what the intervals say; without an interval there is no claim.

    Args:
        questions: with the variants that were asked for.
        runs: that ended.
        failed: variant -> reason.
        same: variants that are the default itself.
        min_units: prompts (or photos) below which an interval is too narrow to be trusted.
    """
    lines, n_intervals = ["# What we learnt", ""], 0
    for question in questions.values():
        lines += [f"## {question.title}", ""]
        for name in question.variants:
            found = claims(name, runs, min_units=min_units) if name in runs else []
            n_intervals += sum(claim.enough for claim in found)
            lines += [f"- `{name}`: {_said(name, found, runs, min_units)}"]
        lines += [""]
    if failed:
        lines += ["## Failed", "", *(f"- `{name}`: {why}" for name, why in failed.items()), ""]
    if same:
        lines += [f"The default says what these would: {', '.join(f'`{n}`' for n in same)}.", ""]
    lines += [
        "Differences are to the default, paired over the same prompts and picture seeds, with "
        f"their bootstrap intervals. Of these {n_intervals} intervals about "
        f"{_by_chance(runs, n_intervals):.0f} leave 0 out by chance alone. Who chooses a "
        "variant by these prompts reports its figures on others.",
        "",
    ]
    return "\n".join(lines)


def _by_chance(runs: Runs, n: int) -> float:
    levels = [each.evaluation.figures.config.level for own in runs.values() for each in own]
    return n * (1 - levels[0]) if levels else 0.0


def _said(name: str, found: Sequence[Claim], runs: Runs, min_units: int) -> str:
    if name not in runs:
        return "did not end, so nothing is known of it."
    if not found:
        return "nothing was measured that the default has too, so nothing is claimed."
    parts = [claim.text() for claim in found if claim.clear]
    unclear = [claim.text() for claim in found if claim.enough and not claim.clear]
    if unclear:
        parts.append(f"no clear difference in {', '.join(unclear)}")
    few = [f"{c.card.title} ({c.interval.n} of {min_units})" for c in found if not c.enough]
    if few:
        parts.append(f"too few prompts or photos for a claim on {', '.join(few)}")
    size = parameters(runs[name][0]) * BYTES_EACH / 1e6
    return f"{'; '.join(parts)}. {len(runs[name])} training(s), {size:.2f} MB in float16."


def table_row(outcome: VariantOutcome) -> dict[str, Cell]:
    """One training against its base, as numbers; what was not measured is left out."""
    figures = outcome.evaluation.figures
    ours, difference = figures.arms[CANDIDATE], figures.comparisons[BASE].people_score
    numbers = {
        "parameters": figures.parameters.get(CANDIDATE),
        "alignment": outcome.train.last["alignment"] if aligned(outcome) else None,
        "people_score": ours.people_score,
        "to base": difference.mean,
        "low": difference.low,
        "high": difference.high,
        "attention_share": ours.attention_share,
        "base's": figures.arms[BASE].attention_share,
        "human_map_share": ours.human_map_share,
        "drift": ours.pixel_difference,
    }
    known = {name: round(value, 4) for name, value in numbers.items() if value is not None}
    named: dict[str, Cell] = {"variant": outcome.variant}
    if outcome.seed is not None:
        named["seed"] = outcome.seed
    return named | known | {"report": outcome.evaluation.report}
