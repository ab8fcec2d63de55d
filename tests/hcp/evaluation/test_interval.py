"""The paired bootstrap interval, over prompts and over training seeds."""

import numpy as np
import pytest

from hcp.evaluation.interval import (
    hierarchical_interval,
    interval_of,
    paired_interval,
    resamples,
)


def test_the_interval_covers_the_true_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        prompts = np.repeat(np.arange(30), 3)
        effect = 0.1 + rng.normal(0, 0.1, size=30)[prompts] + rng.normal(0, 0.1, size=90)
        interval = paired_interval(
            effect.tolist(), [0.0] * 90, groups=prompts.tolist(), seed=trial, n_resamples=500
        )
        covered += interval.low <= 0.1 <= interval.high
    assert 0.88 < covered / 200 <= 1.0


def test_intervals_are_paired_and_repeatable() -> None:
    noise = np.random.default_rng(1).normal(size=40)
    groups = list(range(40))
    ours, theirs = (noise + 0.01).tolist(), noise.tolist()
    interval = paired_interval(ours, theirs, groups=groups)
    assert interval.low == pytest.approx(0.01)
    assert interval.high == pytest.approx(0.01)
    assert interval == paired_interval(ours, theirs, groups=groups)
    assert interval.n == 40
    with pytest.raises(ValueError, match="lengths"):
        paired_interval([1.0], [1.0, 2.0], groups=[0])


@pytest.mark.parametrize("seed_spread", [0.0, 0.02, 0.04])
def test_over_seeds_and_prompts_the_truth_is_covered_about_as_often_as_said(
    seed_spread: float,
) -> None:
    rng = np.random.default_rng(3)
    covered, n_seeds, n_prompts, trials = 0, 3, 100, 300
    for _ in range(trials):
        of_seeds = rng.normal(0, seed_spread, (n_seeds, 1))
        of_prompts = rng.normal(0, 0.3, (1, n_prompts))
        effect = 0.1 + of_seeds + of_prompts + rng.normal(0, 0.2, (n_seeds, n_prompts))
        found = hierarchical_interval(
            effect.tolist(), [[0.0] * n_prompts], groups=range(n_prompts), n_resamples=400
        )
        covered += found.low <= 0.1 <= found.high
    assert 0.9 < covered / trials <= 1.0


def test_where_training_seeds_alone_differ_they_alone_make_the_interval() -> None:
    ours = [[0.0] * 50, [0.1] * 50, [0.2] * 50]
    found = hierarchical_interval(ours, [[0.0] * 50], groups=range(50))
    drawn = resamples(3, range(50))
    assert found.mean == pytest.approx(0.1)
    assert np.std(drawn.means(np.array(ours))[1:]) == pytest.approx(0.1 / 3**0.5, rel=0.05)
    assert found.low < 0.05
    assert found.high > 0.15
    same = hierarchical_interval(ours, ours, groups=range(50))
    assert (same.low, same.mean, same.high) == (0, 0, 0)


def test_one_training_seed_leaves_the_interval_over_prompts() -> None:
    rng = np.random.default_rng(4)
    ours, theirs = rng.normal(size=(2, 60))
    groups = [i // 2 for i in range(60)]
    both = hierarchical_interval([ours.tolist()], [theirs.tolist()], groups=groups)
    plain = paired_interval(ours.tolist(), theirs.tolist(), groups=groups)
    assert both.mean == pytest.approx(plain.mean)
    assert both.low == pytest.approx(plain.low, abs=0.04)
    assert both.high == pytest.approx(plain.high, abs=0.04)
    assert both.n == plain.n == 30


def test_what_was_not_measured_counts_nowhere() -> None:
    values = np.array([[1.0, np.nan, 3.0, np.nan]])
    drawn = resamples(1, range(4))
    means = drawn.means(values)
    assert means[0] == 2.0
    assert np.isnan(means).any()  # a resample of the two others
    assert 1.0 <= interval_of(means, n=4).low <= interval_of(means, n=4).high <= 3.0
    with pytest.raises(ValueError, match="not a number"):
        interval_of(drawn.means(np.full((1, 4), np.nan)), n=4)
    with pytest.raises(ValueError, match="N groups"):
        hierarchical_interval([[1.0, 2.0]], [[1.0]], groups=[0, 1])
