"""The report's section on who is drawn."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from hcp.evaluation.bias import compare_people
from hcp.evaluation.bias_measure import with_bias
from hcp.evaluation.bias_results import BiasConfig, BiasReport
from hcp.evaluation.bias_traits import Seen
from hcp.evaluation.comparison import Pictures
from hcp.evaluation.run import Evaluation
from hcp.pages.bias import HEIGHT, WIDTH, bias_section
from hcp.pages.report import ReportData, render
from tests.hcp.evaluation.reports import arm, report_of
from tests.hcp.pages.test_report import Page

TITLES = {"base": "Base", "candidate": "HcP"}
PAIR = ("a <b>tall</b> person", "a short person")


def people(seed: int, *, shift: float = 0.0, prompts: int = 10) -> list[Seen]:
    rng = np.random.default_rng(seed)
    return [
        Seen(
            prompt=p,
            values={
                "skin_tone": float(rng.normal(20 + shift, 20)),
                "presentation_1": float(rng.random() < 0.5),
                "head_to_torso": float(rng.normal(0.5, 0.1)),
            },
        )
        for p in range(prompts)
        for _ in range(4)
    ]


@cache
def report(shift: float = 0.0, *, prompts: int = 10) -> BiasReport:
    config = BiasConfig(presentation=(PAIR,), n_permutations=1999)
    arms = {
        "base": people(1, prompts=prompts),
        "candidate": people(2, shift=shift, prompts=prompts),
    }
    return compare_people(arms, config, lacking={"trunk_to_torso": "no mask model"})


def test_bars_are_the_shares_and_stay_inside_the_chart() -> None:
    section = bias_section(report(), TITLES)
    assert section is not None
    tone = section.histograms[0]
    for arm_bars in tone.bars.values():
        heights = [bar.height for bar in arm_bars]
        assert len(heights) == 6
        for bar in arm_bars:
            assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
            assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
    shares = report().traits[0].arms["base"].shares
    heights = [bar.height for bar in tone.bars["base"]]
    assert np.argmax(heights) == np.argmax(shares)
    np.testing.assert_allclose(np.array(heights) * max(shares), np.array(shares) * max(heights))
    assert not {(b.x, b.width) for b in tone.bars["base"]} & {
        (b.x, b.width) for b in tone.bars["candidate"]
    }


def test_every_no_difference_says_what_would_have_been_found() -> None:
    section = bias_section(report(), TITLES)
    assert section is not None
    assert section.verdict.startswith("No difference from the base was found")
    facts = [fact for h in section.histograms for fact in h.facts[1:]]
    assert len(facts) == 4
    assert all("No difference found;" in fact and "or more would have been" in fact
               for fact in facts)  # fmt: skip


def test_a_shift_is_named_with_its_size() -> None:
    section = bias_section(report(-60.0), TITLES)
    assert section is not None
    assert section.verdict.startswith("Differs from the base in: Apparent skin tone (mean)")
    mean = section.histograms[0].facts[1]
    assert "difference -" in mean
    assert "°" in mean
    assert mean.endswith("Found.")


def test_what_cannot_be_told_is_not_called_equal() -> None:
    few = bias_section(report(prompts=3), TITLES)
    assert few is not None
    assert few.verdict == "Nothing could be compared."
    weak = report()
    shift = replace(weak.traits[0].shifts[0], smallest_found=None)
    weak = replace(weak, traits=(replace(weak.traits[0], shifts=(shift,)),))
    section = bias_section(weak, TITLES)
    assert section is not None
    assert "Too few prompts" in section.histograms[0].facts[1]


@pytest.mark.parametrize("asked", [True, False])
def test_the_section_stands_in_the_report_where_it_was_asked_for(asked: bool) -> None:
    figures = report_of(base=arm(0.4), candidate=arm(0.5))
    if asked:
        figures = with_bias(figures, report())
    drawn = Pictures(prompts=(), seeds=(), images={"base": [], "candidate": []}, people={})
    evaluation = Evaluation(report=figures, pictures=drawn, photos={}, recording=None)
    html = render(ReportData(title="t", evaluation=evaluation))
    page = Page(html)
    assert ("who" in page.ids()) == asked
    assert ("Apparent skin tone" in page.text) == asked
    assert "<b>tall</b>" not in html
    if asked:
        assert "Trunk to torso" in page.text  # not measured, in the table
        assert "no mask model" in page.text
        assert (
            figures.metrics()["candidate.skin_tone"] == figures.arms["candidate"].more["skin_tone"]
        )
        assert figures.comparisons["base"].more["skin_tone"].n == 10
