"""Variants are compared picture by picture, over prompts and over seeds of the training."""

from dataclasses import replace

import numpy as np
import pytest

from flows.differences import to_base, to_default
from flows.outcomes import VariantOutcome
from hcp.evaluation.interval import paired_interval
from tests.flows.variant_samples import CONFIG, variant_outcome

DEFAULT = variant_outcome("default", (0.5, 0.6, 0.7, 0.8, 0.5, 0.7))
OTHER = variant_outcome("other", (0.4, 0.5, 0.7, 0.7, 0.5, 0.6))


def test_a_variant_is_paired_with_the_default_by_prompt_and_picture_seed() -> None:
    found = to_default([OTHER], [DEFAULT], "people_score")
    assert found == paired_interval(
        (0.4, 0.5, 0.7, 0.7, 0.5, 0.6), (0.5, 0.6, 0.7, 0.8, 0.5, 0.7), groups=(0, 0, 1, 1, 2, 2),
        n_resamples=400,
    )  # fmt: skip
    assert (found.mean, found.n) == (pytest.approx(-0.4 / 6), 3)  # the red car has no score


def test_a_variant_is_paired_with_the_base_of_its_own_report() -> None:
    found = to_base([DEFAULT], "people_score")
    assert found is not None
    assert found.mean == pytest.approx(0.1667, abs=1e-3)


def test_attention_is_paired_by_photo() -> None:
    default = variant_outcome("default", [0.5] * 6, shares=(0.5, 0.4, 0.6))
    other = variant_outcome("other", [0.5] * 6, shares=(0.4, 0.4, 0.5))
    found = to_default([other], [default], "attention_share")
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(-0.2 / 3), 3)


def test_what_cannot_be_paired_has_no_interval() -> None:
    assert to_default([OTHER], [], "people_score") is None
    assert to_default([OTHER], [DEFAULT], "smiles") is None
    assert to_default([OTHER], [DEFAULT], "attention_share") is None
    figures = replace(OTHER.evaluation.figures, config=replace(CONFIG, seeds=(5, 6)))
    elsewhere = OTHER.model_copy(
        update={"evaluation": OTHER.evaluation.model_copy(update={"figures": figures})}
    )
    assert to_default([elsewhere], [DEFAULT], "people_score") is None
    assert to_default([elsewhere, OTHER], [DEFAULT], "people_score") is not None


def seeded(variant: str, shift: float) -> list[VariantOutcome]:
    """Three trainings, each as good as its seed, with noise from prompt to prompt."""
    rng = np.random.default_rng(len(variant))
    return [
        variant_outcome(variant, rng.normal(0.5 + shift + seed / 10, 0.02, 6), seed=seed)
        for seed in range(3)
    ]


def test_trainings_are_paired_by_their_seed() -> None:
    default, other = seeded("default", 0.0), seeded("other", 0.1)
    found = to_default(other, default, "people_score")
    assert found is not None
    assert 0.05 < found.low < found.mean < found.high < 0.15  # the seeds' own spread cancels
    swapped = to_default(other[::-1], default, "people_score")
    assert swapped is not None
    assert swapped.mean == pytest.approx(found.mean)  # whatever the order
    one = to_default(other[:1], default, "people_score")
    assert one == to_default(other[:1], default[:1], "people_score")


def test_trainings_that_disagree_widen_the_interval() -> None:
    default = [variant_outcome("default", [0.5] * 6, seed=seed) for seed in range(3)]
    alike, apart = (
        [variant_outcome("other", [0.5 + shift] * 6, seed=i) for i, shift in enumerate(shifts)]
        for shifts in ((0.1, 0.1, 0.1), (0.0, 0.1, 0.2))
    )
    same, wide = (to_default(runs, default, "people_score") for runs in (alike, apart))
    assert same is not None
    assert wide is not None
    assert (same.low, same.mean, same.high) == pytest.approx((0.1, 0.1, 0.1))
    assert wide.mean == pytest.approx(0.1)
    assert wide.low < 0.05 < 0.15 < wide.high
    assert wide.n == 3
