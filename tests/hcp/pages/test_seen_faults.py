"""What the scores can see, as the report shows it."""

from dataclasses import replace
from typing import Any

from hcp.evaluation.results import SeenFaults
from hcp.pages.measures import measure_rows, percent
from hcp.pages.report import page_environment
from hcp.pages.seen_faults import fault_table
from tests.hcp.evaluation.reports import arm, report_of

RECORD = SeenFaults(
    world="drawn people",
    pairs=40,
    enough=0.9,
    shares={
        "soundness": {"extra_arm": 0.97, "wrong_pose": 0.5},
        "people_score": {"extra_arm": 0.95, "wrong_pose": 0.8},
        "pose_as_asked": {"wrong_pose": 0.93},
        "another": {"extra_arm": 1.0},
    },
)


def page(record: SeenFaults | None) -> str:
    environment = page_environment()
    environment.filters["percent"] = percent
    template: Any = environment.get_template("seen_faults.html.j2")
    return template.render(seen_faults=fault_table(record))


def test_the_table_has_a_row_for_each_fault_and_says_what_is_seen() -> None:
    table = fault_table(RECORD)
    assert table is not None
    assert table.titles == ("People score", "Sound bodies", "Pose as asked")
    assert [row.kind for row in table.rows] == ["extra arm", "wrong pose"]
    assert table.rows[0].shares == ((0.95, True), (0.97, True), (None, False))
    assert table.rows[1].shares == ((0.8, False), (0.5, False), (0.93, True))
    assert "40 pairs of pictures of drawn people" in table.lead
    assert "sees extra arm; it does not see wrong pose" in table.lead
    shown = page(RECORD)
    assert "95.0 %" in shown
    assert "<td>wrong pose</td>" in shown


def test_no_record_no_section() -> None:
    assert page(None).strip() == ""


def test_the_people_score_says_what_it_is_made_of() -> None:
    def note(**missing: str) -> str:
        made = report_of(base=arm(0.4), candidate=arm(0.5))
        rows = measure_rows(replace(made, not_measured=missing))
        return next(row.note for row in rows if row.title == "People score")

    assert note().endswith("plausible limbs, sound bodies and pose as asked, multiplied")
    assert note(soundness="none", pose_as_asked="none") == (
        "detection, keypoint confidence and plausible limbs, multiplied"
    )
