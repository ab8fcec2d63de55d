from dataclasses import replace

import pytest

from hcp.evaluation.interval import Interval
from hcp.evaluation.promotion import PromotionConfig, decide
from hcp.evaluation.results import EvaluationReport
from tests.hcp.evaluation.reports import ARM, arm, report_of


def interval(low: float, high: float, *, n: int = 12) -> Interval:
    return Interval(mean=(low + high) / 2, low=low, high=high, n=n)


def report(
    people: Interval, *, text: Interval | None = None, champion: Interval | None = None
) -> EvaluationReport:
    arms = {"base": ARM, "candidate": arm(0.6)}
    pairs = {"base": people}
    if champion is not None:
        arms["champion"] = ARM
        pairs["champion"] = champion
    return report_of(pairs, text=text, **arms)


def test_clearly_better_people_are_promoted() -> None:
    verdict = decide(report(interval(0.02, 0.2)))
    assert verdict.promote
    assert verdict.against == "base"
    assert any("no CLIP model" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("people", [interval(-0.01, 0.2), interval(-0.2, -0.1), interval(0, 0)])
def test_no_clear_gain_is_not_enough(people: Interval) -> None:
    assert not decide(report(people)).promote


def test_the_champion_is_what_must_be_beaten() -> None:
    better_than_base = interval(0.02, 0.2)
    verdict = decide(report(better_than_base, champion=interval(-0.1, 0.1)))
    assert not verdict.promote
    assert verdict.against == "champion"
    assert decide(report(interval(-0.1, 0.1), champion=better_than_base)).promote


def test_few_prompts_prove_nothing() -> None:
    verdict = decide(report(interval(0.02, 0.2, n=7)))
    assert not verdict.promote
    assert "8 prompts" in verdict.reasons[0]
    assert decide(report(interval(0.02, 0.2, n=7)), config=PromotionConfig(min_prompts=5)).promote


def test_a_worse_text_score_blocks() -> None:
    assert not decide(report(interval(0.02, 0.2), text=interval(-2.0, -0.1))).promote
    assert decide(report(interval(0.02, 0.2), text=interval(-2.0, 0.1))).promote


def test_preservation_that_was_not_measured_counts_for_hcp_alone() -> None:
    good = report(interval(0.02, 0.2))
    candidate = replace(good.arms["candidate"], pixel_difference=None)
    unknown = replace(good, arms={**good.arms, "candidate": candidate})
    assert decide(replace(unknown, methods={"candidate": "hcp+value"})).promote
    verdict = decide(replace(unknown, methods={"candidate": "lora"}))
    assert not verdict.promote
    assert any("the method lora gives no promise" in reason for reason in verdict.reasons)


def test_changed_pictures_without_people_block() -> None:
    good = report(interval(0.02, 0.2))
    candidate = replace(good.arms["candidate"], pixel_difference=0.01)
    verdict = decide(replace(good, arms={**good.arms, "candidate": candidate}))
    assert not verdict.promote
    assert any("not preserved" in reason for reason in verdict.reasons)
