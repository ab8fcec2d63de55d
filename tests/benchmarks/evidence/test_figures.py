"""Figures by hand-made judgements with known answers, the list of numbers, and the table."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from benchmarks.evidence.checklist import checklist
from benchmarks.evidence.figures import KID, Evidence, Judged
from benchmarks.evidence.settings import FOLDER, read_settings
from benchmarks.evidence.table import PEOPLE, arms_lines, figures_lines, rows

SETTINGS = read_settings(FOLDER / "embedded.yaml")
OURS, WITHOUT = SETTINGS.default, SETTINGS.without_loss
N = 60


def judged(
    arm: str, seed: int, *, score: float, drift: float, trained: bool = True, shift: float = 0.0
) -> Judged:
    rng = np.random.default_rng(0)
    people = {
        "people_score": (score + rng.normal(0, 0.05, N)).tolist(),
        "pose_as_asked": (score + rng.normal(0, 0.05, N)).tolist(),
    }
    photos = {"attention": [0.4 + seed / 100] * 8} | (
        {"attention_base": [0.2] * 8} if trained else {}
    )
    facts: dict[str, object] = {
        "people": people, "others": {"drift": [drift] * 10, "identical": [float(drift == 0)] * 10},
        "photos": photos, "parameters": 100 if trained else None,
        "losses": {"denoise_first": 0.2, "denoise_last": 0.1} if trained else None,
    }  # fmt: skip
    features = np.random.default_rng(seed).normal(shift, 1, (N, 6))
    return Judged(arm=arm, seed=seed, facts=facts, features=features)


def evidence(of: Mapping[str, Sequence[float]]) -> Evidence:
    """Score of each arm and training seed; the base scores .4, the ceiling .8."""
    found = [
        judged("base", 0, score=0.4, drift=0.0, trained=False, shift=1.0),
        judged("vae", 0, score=0.8, drift=0.0, trained=False),
    ]
    for arm, scores in of.items():
        drift = 0.0 if arm.startswith("hcp") else 2.0
        found += [judged(arm, i, score=s, drift=drift) for i, s in enumerate(scores)]
    photos = np.random.default_rng(9).normal(0, 1, (N, 6))
    return Evidence(judged=found, photos=photos, n_resamples=300)


def test_differences_are_paired_by_prompt_and_by_training_seed() -> None:
    found = evidence({OURS: [0.6, 0.7, 0.8], "lora": [0.5, 0.6, 0.7]})
    apart = found.difference(OURS, "lora", "people_score")
    assert apart is not None
    assert (apart.mean, apart.low, apart.high) == pytest.approx((0.1, 0.1, 0.1))
    to_base = found.difference(OURS, "base", "people_score")
    assert to_base is not None
    assert to_base.mean == pytest.approx(0.3)
    assert 0.1 < to_base.low < 0.25  # three seeds that differ
    assert found.by_seed(OURS, "people_score") == pytest.approx([0.6, 0.7, 0.8], abs=0.02)
    closed = found.share_closed(OURS, "base", "vae", "pose_as_asked")
    assert closed is not None
    assert closed.mean == pytest.approx(0.75)
    ratio = found.ratio(OURS, "base", "attention")
    assert ratio is not None
    assert ratio.mean == pytest.approx(0.41 / 0.2)


def test_kid_is_that_of_the_metric_with_an_interval() -> None:
    from hcp.evaluation.fidelity.distances import kid

    found = evidence({OURS: [0.6, 0.7]})
    mean = found.mean("base", KID)
    assert mean is not None
    assert found.photos is not None
    features = found.judged[0].features
    assert features is not None
    assert mean.mean == pytest.approx(1000 * kid(features, found.photos), rel=1e-9)
    ratio = found.ratio(OURS, "base", KID)
    assert ratio is not None
    assert ratio.mean < 0.2
    assert ratio.low < ratio.mean < ratio.high


def test_the_numbers_to_reach_are_reached_or_missed_or_not_measured() -> None:
    scores = {OURS: [0.6, 0.61, 0.62], WITHOUT: [0.55] * 3, "lora": [0.5, 0.51, 0.52],
              "full": [0.6] * 3}  # fmt: skip
    states = {check.what: check.reached for check in checklist(evidence(scores), SETTINGS)}
    assert len(states) == 11
    assert all(state is not None for state in states.values())
    good = [what for what, state in states.items() if state]
    assert len(good) >= 9
    worse = evidence({OURS: [0.4, 0.41, 0.42], "lora": [0.5, 0.51, 0.52]})
    missed = {check.what: check for check in checklist(worse, SETTINGS)}
    assert missed[f"{OURS} minus lora, people score"].reached is False
    assert missed[f"{OURS} minus base, pose as asked"].reached is False
    fair = next(check for check in missed.values() if "fair" in check.what)
    assert fair.reached is None
    assert fair.line().startswith("not measured")
    assert missed[f"{OURS} minus base, pose as asked"].state == "**missed**"


def test_the_table_has_a_row_for_each_arm_and_says_what_was_not_measured() -> None:
    found = rows(evidence({"lora": [0.5, 0.6], OURS: [0.6, 0.7]}), SETTINGS)
    assert [row["arm"] for row in found] == ["base", OURS, "lora", "vae"]
    text = figures_lines(found, PEOPLE)
    assert text[0] == "| arm | people score | pose as asked |"
    assert len(text) == 2 + 4
    assert text[3].startswith(f"| {OURS} | 0.6")
    assert text[3].count("(") == 2
    assert figures_lines(found, PEOPLE, against="lora")[4].count("(") == 0
    trained = arms_lines(found)
    assert len(trained) == 2 + 2
    assert trained[2] == f"| {OURS} | 100 | 2 |  | 0.2000 to 0.1000 |"
    bare = Judged(arm="base", seed=0, facts={"people": {"people_score": [0.5, None]}})
    alone = rows(Evidence(judged=[bare], n_resamples=10), SETTINGS)
    assert list(alone[0]["figures"]) == ["people_score"]
