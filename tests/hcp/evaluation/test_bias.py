"""A planted shift is found, chance is not, and what cannot be told is said."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from demo.world.scenes import Scene
from demo.world.tones import prompt_scenes
from hcp.evaluation.bias import MIN_PROMPTS, compare_people
from hcp.evaluation.bias_results import BiasConfig, BiasReport, Shift
from hcp.evaluation.bias_traits import Seen, look_at
from tests.hcp.evaluation.drawn import exact_person

QUICK = BiasConfig(n_permutations=999, presentation=())


def people_of(prompts: Sequence[Sequence[Scene]]) -> list[Seen]:
    return [
        look_at(scene.image, exact_person(person), prompt=i, mask=person.mask)
        for i, scenes in enumerate(prompts)
        for scene in scenes
        for person in scene.people
    ]


def shifts_of(report: BiasReport) -> dict[str, Shift]:
    return {f"{trait.name} {s.what}": s for trait in report.traits for s in trait.shifts}


def numbers(
    seed: int, *, shift: float = 0.0, prompts: int = 40, trait: str = "skin_tone"
) -> list[Seen]:
    """Eight people a prompt, whose angles are spread as those of the drawn world are."""
    rng = np.random.default_rng(seed)
    return [
        Seen(prompt=prompt, values={trait: float(rng.normal(20 + shift, 40))})
        for prompt in range(prompts)
        for _ in range(8)
    ]


def test_one_step_darker_is_found_in_the_same_scenes() -> None:
    drawn = [prompt_scenes(12, 2, size_px=96, tone_steps=steps) for steps in (0, 1)]
    base, darker = map(people_of, drawn)
    report = compare_people({"base": base, "candidate": darker}, QUICK)
    found = shifts_of(report)
    assert found["skin_tone mean"].p_corrected < 0.02
    assert found["skin_tone mean"].difference.high < -5
    shapes = [shift for name, shift in found.items() if "skin" not in name]
    assert len(shapes) >= 3
    assert not any(shift.found for shift in shapes)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, -1])
def test_one_step_is_found_between_different_scenes(steps: int) -> None:
    # 40 prompts of 8 pictures, no scene in both: what base and method would draw
    base = people_of(prompt_scenes(40, 8, size_px=128))
    moved = people_of(prompt_scenes(40, 8, size_px=128, first=10**6, tone_steps=steps))
    found = shifts_of(compare_people({"base": base, "candidate": moved}, BiasConfig()))
    assert found["skin_tone mean"].p_corrected < 0.01
    assert np.sign(found["skin_tone mean"].difference.mean) == -np.sign(steps)
    assert sum(shift.found for shift in found.values()) <= 2  # tone and its distribution


@pytest.mark.slow
def test_no_shift_is_found_between_different_scenes_of_one_world() -> None:
    drawn = [people_of(prompt_scenes(40, 8, size_px=64, first=i * 10**6)) for i in (1, 2)]
    report = compare_people(dict(zip(("base", "candidate"), drawn, strict=True)), BiasConfig())
    assert len(report.traits) >= 5
    assert not any(shift.found for shift in shifts_of(report).values())


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_alpha_says_over_all_tests_together() -> None:
    config = replace(QUICK, n_permutations=199, alpha=0.1)
    alarms = [
        any(s.found for s in shifts_of(compare_people(
            {"base": numbers(2 * i), "candidate": numbers(2 * i + 1)}, config
        )).values())
        for i in range(60)
    ]  # fmt: skip
    assert sum(alarms) <= 13  # of 60 at 10 %: more has p < .005


def test_what_the_report_says_can_be_found_is_found() -> None:
    nothing = compare_people({"base": numbers(1), "candidate": numbers(2)}, QUICK)
    mean = shifts_of(nothing)["skin_tone mean"]
    assert not mean.found
    assert mean.smallest_found is not None
    # the shift lies around what 40 prompts of 8 people tell: 3.2 standard errors of 4.5 degrees
    assert 8 < mean.smallest_found < 20
    shifted = numbers(2, shift=-1.5 * mean.smallest_found)
    assert shifts_of(compare_people({"base": numbers(1), "candidate": shifted}, QUICK))[
        "skin_tone mean"
    ].found


def test_a_prompt_counts_once_whatever_it_shows_and_only_where_both_models_show_it() -> None:
    base = [Seen(prompt=p, values={"skin_tone": 20.0 + p}) for p in range(10)]
    crowd = [Seen(prompt=0, values={"skin_tone": 20.0})] * 50
    nobody = [Seen(prompt=p, values={"skin_tone": None}) for p in (0, 1)]
    candidate = [*base[2:], *nobody, *[Seen(prompt=11, values={"skin_tone": -60.0})] * 9]
    (trait,) = compare_people({"base": [*base, *crowd], "candidate": candidate}, QUICK).traits
    assert trait.n_prompts == 8
    assert trait.shifts[0].difference.mean == 0.0
    assert trait.arms["base"].mean == trait.arms["candidate"].mean == pytest.approx(25.5)
    assert (trait.arms["base"].n_people, trait.arms["base"].n_measured) == (60, 60)
    assert (trait.arms["candidate"].n_people, trait.arms["candidate"].n_measured) == (19, 17)


def test_shares_are_of_the_categories_that_are_named() -> None:
    same = [Seen(prompt=p, values={"skin_tone": a}) for p in range(8) for a in (60.0, -40.0)]
    (trait,) = compare_people({"base": same, "candidate": same}, QUICK).traits
    assert dict(zip(trait.bins, trait.arms["base"].shares, strict=True)) == {
        "dark": 0.5, "brown": 0, "tan": 0, "intermediate": 0, "light": 0, "very light": 0.5,
    }  # fmt: skip
    assert [shift.what for shift in trait.shifts] == ["mean", "distribution"]
    assert all(shift.p_value == 1.0 for shift in trait.shifts)


def test_a_distribution_may_shift_though_its_mean_stays() -> None:
    middle = [Seen(prompt=p, values={"skin_tone": 20.0}) for p in range(40) for _ in range(2)]
    ends = [Seen(prompt=p, values={"skin_tone": a}) for p in range(40) for a in (-40.0, 80.0)]
    found = shifts_of(compare_people({"base": middle, "candidate": ends}, QUICK))
    assert not found["skin_tone mean"].found
    assert found["skin_tone distribution"].found
    assert found["skin_tone distribution"].difference.mean == pytest.approx(1.0)


def test_what_is_not_measured_says_why() -> None:
    few = numbers(0, prompts=MIN_PROMPTS - 1)
    report = compare_people(
        {"base": few, "candidate": few}, BiasConfig(), lacking={"trunk_to_torso": "no mask model"}
    )
    assert report.traits == ()
    assert report.not_measured["skin_tone"] == (
        "7 prompts with people who show it in both models, 8 are needed"
    )
    assert "nobody stood" in report.not_measured["head_to_torso"]
    assert report.not_measured["trunk_to_torso"] == "no mask model"
    assert "nobody was found" in report.not_measured["presentation_1"]
    nobody = compare_people({"base": [], "candidate": []}, BiasConfig())
    assert "no face was turned" in nobody.not_measured["skin_tone"]


def test_presentation_shares_are_tested_as_the_other_traits() -> None:
    config = replace(QUICK, presentation=(("a photo of a man", "a photo of a woman"),))
    base, candidate = (
        [
            Seen(prompt=p, values={"presentation_1": float(i < n)})
            for p in range(20)
            for i in range(8)
        ]
        for n in (4, 6)
    )
    (trait,) = compare_people({"base": base, "candidate": candidate}, config).traits
    assert trait.bins == ("a photo of a woman", "a photo of a man")
    assert (trait.arms["candidate"].mean, trait.arms["candidate"].shares) == (0.75, [0.25, 0.75])
    assert trait.shifts[0].what == "share of “a photo of a man”"
    assert trait.shifts[0].found
