"""The table of an evaluation."""

from flows.evaluate import arm_rows
from flows.jobs import EvaluationResult


def result(**metrics: float) -> EvaluationResult:
    named = {name.replace("__", "."): value for name, value in metrics.items()}
    return EvaluationResult(html="", metrics=named, promote=False, verdict="", tags={})


def test_one_row_a_measure_one_column_a_model() -> None:
    rows = arm_rows(
        result(
            base__people_score=0.123456,
            candidate__people_score=0.5,
            champion__people_score=0.25,
            candidate__fid=12.0,
        )
    )
    assert rows == [
        {"measure": "people_score", "base": 0.1235, "candidate": 0.5, "champion": 0.25},
        {"measure": "fid", "candidate": 12.0},
    ]


def test_comparisons_and_measures_of_others_are_no_rows() -> None:
    metrics = result(base__attention_share=0.4, candidate__fid=1.0).metrics
    compared = {**metrics, "candidate-base.people_score.mean": 0.1}
    rows = arm_rows(EvaluationResult(html="", metrics=compared, promote=True, verdict="", tags={}))
    assert [row["measure"] for row in rows] == ["fid"]
    assert arm_rows(result()) == []
