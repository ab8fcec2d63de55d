"""The promotion gate: may a candidate become the champion?"""

from dataclasses import dataclass

from hcp.evaluation.results import BASE, CANDIDATE, CHAMPION, EvaluationReport


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionConfig:
    """When a difference counts."""

    min_prompts: int = 8  # with human words; fewer give intervals that are too narrow to trust
    max_pixel_difference: float = 0.0  # mean levels (0-255) on prompts without people

    def __post_init__(self) -> None:
        if self.min_prompts < 2 or self.max_pixel_difference < 0:
            raise ValueError(
                "PromotionConfig needs min_prompts >= 2 and max_pixel_difference >= 0, got "
                f"{self.min_prompts} and {self.max_pixel_difference}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The decision and, for people, why."""

    promote: bool
    against: str  # "champion" or "base"
    reasons: tuple[str, ...]  # one sentence per rule, passed or not


def decide(report: EvaluationReport, *, config: PromotionConfig | None = None) -> Verdict:
    """Promote only what draws people better and everything else no worse.

    The people score must beat the champion's (the base's where there is none) beyond the paired
    interval; the text score must not be worse beyond its interval; prompts without people must
    give the base's pictures, as HcP layers do by construction. A text score that could not be
    measured is said so and does not block: the pictures of prompts without people are still
    compared.
    """
    config = config or PromotionConfig()
    against = CHAMPION if CHAMPION in report.arms else BASE
    rules = [
        _better_people(report, against, config),
        _text_no_worse(report, against),
        _preserved(report, config),
    ]
    reasons = tuple(reason for _, reason in rules)
    return Verdict(promote=all(passed for passed, _ in rules), against=against, reasons=reasons)


def _better_people(
    report: EvaluationReport, against: str, config: PromotionConfig
) -> tuple[bool, str]:
    interval = report.comparisons[against].people_score
    level = f"{report.config.level:.0%}"
    ours, theirs = report.arms[CANDIDATE].people_score, report.arms[against].people_score
    said = (
        f"people score {ours:.3f} against {theirs:.3f} of the {against}: difference "
        f"{interval.mean:+.3f}, {level} interval {interval.low:+.3f} to {interval.high:+.3f} "
        f"over {interval.n} prompts"
    )
    if interval.n < config.min_prompts:
        return False, f"{said}; at least {config.min_prompts} prompts with people are needed"
    if interval.low > 0:
        return True, f"{said}: better"
    return False, f"{said}: {'worse' if interval.high < 0 else 'no clear difference'}"


def _text_no_worse(report: EvaluationReport, against: str) -> tuple[bool, str]:
    interval = report.comparisons[against].text_score
    if interval is None:
        why = report.not_measured.get("text_score", "no scores")
        return True, f"text score not measured ({why}), so it does not count"
    said = (
        f"text score difference {interval.mean:+.2f}, interval {interval.low:+.2f} to "
        f"{interval.high:+.2f}"
    )
    return interval.high >= 0, f"{said}: {'worse' if interval.high < 0 else 'not worse'}"


def _preserved(report: EvaluationReport, config: PromotionConfig) -> tuple[bool, str]:
    difference = report.arms[CANDIDATE].pixel_difference
    if difference is None:
        why = report.not_measured.get("pixel_difference", "no such prompts")
        method = report.methods.get(CANDIDATE, "hcp")
        if method.split("+")[0] == "hcp":
            return True, f"preservation not measured ({why}); it holds by construction"
        return False, f"preservation not measured ({why}), and the method {method} gives no promise"
    kept = difference <= config.max_pixel_difference
    return kept, (
        f"prompts without people differ from the base by {difference:.4g} of 255 levels: "
        f"{'preserved' if kept else 'not preserved'}"
    )
