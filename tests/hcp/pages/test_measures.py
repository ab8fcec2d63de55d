"""The rows of the report's numbers."""

from hcp.evaluation.measures import not_measured, with_figures
from hcp.evaluation.results import MeasureCard
from hcp.pages.measures import measure_rows, missing_rows
from tests.hcp.evaluation.reports import arm, report_of

CARD = MeasureCard(name="smiles", title="Smiles", note="seen", better="higher", percent=True)


def test_what_was_not_measured_is_told_by_its_title_and_reason() -> None:
    report = not_measured(report_of(base=arm(0.4), candidate=arm(0.5)), any_other="too dark")
    assert missing_rows(report) == [
        ("KID", "no feature network"),
        ("CLIP score", "no CLIP model is configured"),
        ("Any other", "too dark"),
    ]
    assert "KID" not in [row.title for row in measure_rows(report)]


def test_a_measure_of_one_model_alone_shows_its_figure_and_why_the_other_has_none() -> None:
    report = with_figures(report_of(base=arm(0.4), candidate=arm(0.5)), CARD, {"candidate": 0.5})
    report = not_measured(report, smiles="nobody of the base smiles")
    row = next(row for row in measure_rows(report) if row.title == "Smiles")
    assert row.values[1] == "50.0 %"
    assert ("Smiles", "nobody of the base smiles") in missing_rows(report)
