"""The paired bootstrap interval."""

import numpy as np
import pytest

from hcp.evaluation.interval import paired_interval


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
