"""Outcomes of variants, made by hand."""

from collections.abc import Sequence
from dataclasses import replace

from flows.outcomes import EvaluateOutcome, TrainOutcome, VariantOutcome
from hcp.evaluation.results import EvaluationConfig
from tests.hcp.evaluation.reports import arm, report_of

PROMPTS = ("a man", "a woman", "two people", "a red car")
CONFIG = EvaluationConfig(prompts=PROMPTS, seeds=(0, 1), n_resamples=400)
NOBODY = (None, None)  # the red car's pictures


def variant_outcome(
    variant: str,
    scores: Sequence[float],
    *,
    seed: int | None = None,
    base: Sequence[float] = (0.5, 0.4, 0.3, 0.6, 0.5, 0.5),
    shares: Sequence[float] = (),
    method: str = "hcp",
) -> VariantOutcome:
    """A variant whose pictures of people (two of each prompt) have these people scores."""
    report = report_of(base=arm(sum(base) / 6), candidate=arm(sum(scores) / len(scores)))
    arms = {"base": (0.2,) * len(shares), "candidate": tuple(shares)}
    figures = replace(
        report,
        config=CONFIG,
        scores={"people_score": {"base": (*base, *NOBODY), "candidate": (*scores, *NOBODY)}},
        photo_scores={"attention_share": arms} if shares else {},
        n_photos=len(shares),
        methods={"candidate": method},
        parameters={"candidate": 250_000},
    )
    losses = {"loss": 0.1, "denoise": 0.1, "alignment": 0.4}
    trained = TrainOutcome(
        checkpoint="c", adapter="a", log="l", dataset="d@v", steps=2, first=losses, last=losses
    )
    judged = EvaluateOutcome(
        report=f"{variant}/report.html", figures=figures, promoted=False, verdict="",
        registry_uri=None, tracking_uri=None,
    )  # fmt: skip
    return VariantOutcome(variant=variant, seed=seed, train=trained, evaluation=judged)
