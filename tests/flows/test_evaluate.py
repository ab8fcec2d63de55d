"""The table of an evaluation."""

from flows.evaluate import arm_rows
from tests.hcp.evaluation.reports import arm, report_of


def test_one_row_a_measure_one_column_a_model() -> None:
    report = report_of(base=arm(0.123456), candidate=arm(0.5, fid=12.0), champion=arm(0.25))
    rows = {str(row.pop("measure")): row for row in arm_rows(report)}
    assert rows["people_score"] == {"base": 0.1235, "candidate": 0.5, "champion": 0.25}
    assert rows["fid"] == {"candidate": 12.0}


def test_measures_that_the_candidate_lacks_are_no_rows() -> None:
    rows = arm_rows(report_of(base=arm(0.4, fid=3.0), candidate=arm(0.5)))
    assert "fid" not in [row["measure"] for row in rows]
    assert list(rows[0]) == ["measure", "base", "candidate"]
