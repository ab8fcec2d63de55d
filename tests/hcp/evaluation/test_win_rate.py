"""The rate of wins: its mean, how wide its interval is and why, and the sign test."""

import numpy as np
import pytest

from hcp.evaluation.win_rate import Scored, sign_test, win_rate


def votes(scores: np.ndarray) -> list[Scored]:
    """Of a [groups, raters] table."""
    return [
        Scored(group=f"prompt {group}", rater=rater, score=float(score))
        for (group, rater), score in np.ndenumerate(scores)
        if not np.isnan(score)
    ]


def test_the_rate_is_the_mean_and_lies_in_its_interval() -> None:
    scores = np.random.default_rng(0).choice([0, 0.5, 1], p=[0.2, 0.2, 0.6], size=(40, 4))
    rate = win_rate(votes(scores))
    assert rate is not None
    assert rate.mean == pytest.approx(scores.mean())
    assert rate.votes == 160
    assert rate.low is not None
    assert rate.high is not None
    assert 0.55 < rate.low < rate.mean < rate.high < 0.85
    assert win_rate(votes(scores)) == rate


def test_the_interval_covers_the_truth_where_prompts_and_raters_differ() -> None:
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        chance = 0.6 + rng.normal(0, 0.15, (30, 1)) + rng.normal(0, 0.05, (1, 6))
        rate = win_rate(votes((rng.random((30, 6)) < chance).astype(float)), n_resamples=300)
        assert rate is not None
        assert rate.low is not None
        assert rate.high is not None
        covered += rate.low <= 0.6 <= rate.high
    assert covered >= 55  # 95 % intervals; rather too wide than too narrow


def test_raters_who_differ_make_it_wider_than_prompts_alone() -> None:
    apart = np.repeat([[1.0, 1.0, 0.0]], 30, axis=0)  # each rater says one thing everywhere
    rate = win_rate(votes(apart))
    assert rate is not None
    assert (rate.low, rate.high) == (0, 1)
    alone = win_rate(votes(apart[:, :1]))
    assert alone is not None
    assert alone.low == alone.high == 1


def test_missing_votes_and_single_ones() -> None:
    scores = np.full((3, 2), np.nan)
    assert win_rate(votes(scores)) is None
    scores[0, 0] = 1
    one = win_rate(votes(scores))
    assert one is not None
    assert (one.mean, one.low, one.high) == (1, None, None)
    scores[2, 1] = 0  # half of the draws meet no vote
    two = win_rate(votes(scores))
    assert two is not None
    assert (two.mean, two.low, two.high) == (0.5, 0, 1)


def test_each_group_has_one_sign() -> None:
    scores = np.array([[1, 1, 0], [1, 0.5, 0.5], [0.5, 0.5, 0.5], [1, 0, 0.5], [0, 0, 1]])
    found = sign_test(votes(scores))
    assert (found.b, found.a, found.even) == (2, 1, 2)
    assert found.p == 1
    assert sign_test(votes(np.ones((8, 3)))).p == pytest.approx(2 / 2**8)
