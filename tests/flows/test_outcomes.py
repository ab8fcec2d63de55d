"""What flows return goes through Prefect's result store and comes back."""

import pytest
from pydantic import ValidationError

from flows.outcomes import EvaluateOutcome, PipelineOutcome, TrainOutcome
from tests.hcp.evaluation.reports import arm, report_of


def test_an_outcome_survives_json_and_cannot_be_changed() -> None:
    outcome = PipelineOutcome(
        dataset="data@0",
        train=TrainOutcome(
            checkpoint="c", adapter="a", log="l", dataset="data@0", steps=2,
            first={"loss": 1.0}, last={"loss": 0.5},
        ),
        evaluation=EvaluateOutcome(
            report="r.html", figures=report_of(base=arm(0.4), candidate=arm(0.5, fid=1.5)),
            promoted=False, verdict="v",
            registry_uri=None, tracking_uri=None,
        ),
    )  # fmt: skip
    assert PipelineOutcome.model_validate_json(outcome.model_dump_json()) == outcome
    with pytest.raises(ValidationError, match="frozen"):
        outcome.dataset = "other"  # pyright: ignore[reportAttributeAccessIssue]  # the point of the test
