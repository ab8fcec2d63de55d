"""Figures of a run as people read them."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from flows.artifacts import duration
from flows.figures import WHAT_TO_DO, extraction_note, reject_rows
from priors.gate import GateConfig
from priors.reports import ReportSum, UnitReport
from storage.records import REJECT_REASONS
from storage.versions import publish_version


def unit(n: int, *, skipped: bool = False, **reasons: int) -> UnitReport:
    rejects = sum(reasons.values())
    return UnitReport(
        fingerprint="f", n_samples=n - rejects, n_rejects=rejects, rejects_by_reason=reasons,
        stage_seconds={}, model_seconds=1.0, seconds=1.0, skipped=skipped,
    )  # fmt: skip


def test_the_line_has_photos_their_rate_and_rejects_by_reason() -> None:
    seen = ReportSum()
    assert extraction_note(seen, 0.0) == "0 photos"
    seen.add(unit(1000, skipped=True))
    assert extraction_note(seen, 5.0) == "1,000 photos"  # nothing was computed: no rate
    seen.add(unit(500, no_person=20, unreadable=3, poison=1, too_small=1))
    assert extraction_note(seen, 10.0) == (
        "1,500 photos, 50.0 photos/s, rejects: no_person 20, unreadable 3, poison 1, 1 more reasons"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (119.4, "119 s"), (125, "2 min"), (7140, "119 min"), (7260, "2 h 1 min"),
     (100 * 3600, "4.2 days")],
)  # fmt: skip
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_rejects_have_an_example_and_what_helps(
    fill_root: Callable[..., list[str]], tmp_path: Path
) -> None:
    names = fill_root(str(tmp_path), 2)
    version = publish_version(str(tmp_path), names, config={})
    kept, rejected = reject_rows(version)
    assert (kept["outcome"], kept["photos"], kept["share"]) == ("kept", 18, "90.0%")
    assert (rejected["outcome"], rejected["photos"]) == ("no_person", 2)
    assert str(rejected["example"]).endswith(": none")
    assert rejected["what helps"] == WHAT_TO_DO["no_person"]
    assert {tuple(row) for row in (kept, rejected)} == {tuple(kept)}  # one set of columns


def test_every_reason_has_help_that_names_settings_that_there_are() -> None:
    assert set(WHAT_TO_DO) == set(REJECT_REASONS)
    named = set(re.findall(r"gate\.(\w+)", " ".join(WHAT_TO_DO.values())))
    assert named <= {field.name for field in fields(GateConfig)}
