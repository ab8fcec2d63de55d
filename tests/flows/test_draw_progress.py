"""What an evaluation's progress says, and what it counts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from flows import artifacts
from flows.artifacts import Progress
from flows.draw_progress import Drawn, DrawProgress, counted, note
from flows.draw_worker import load_drawing
from flows.steps import Step, watched_by
from tests.flows.test_drawing import CONFIG, settings


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Step]]:
    monkeypatch.setattr(artifacts, "MIN_INTERVAL_S", 0.0)
    monkeypatch.setattr(artifacts, "create_progress_artifact", lambda *_, **__: 1)
    monkeypatch.setattr(artifacts, "update_progress_artifact", lambda *_, **__: None)
    found: list[Step] = []
    with watched_by(found.append), disable_run_logger():
        yield found


def test_a_line_says_whose_pictures_how_many_a_second_and_what_is_left(steps: list[Step]) -> None:
    with Progress("draw", total=0, unit="pictures") as progress:
        show = DrawProgress(progress)
        show(Drawn(0, 8))
        show(Drawn(2, 8, "base", 1.0))
        show(Drawn(0, 8))  # its worker died: the task begins anew
        show(Drawn(4, 8, "candidate", 1.0))
        show(Drawn(9, 8, "candidate", 2.0))  # a kept picture was broken
    assert [(step.done, step.total) for step in steps] == [(2, 8), (4, 8), (8, 8)]
    assert steps[0].text.startswith("2/8 pictures, base, ")
    assert steps[0].text.endswith(" s left")
    assert "8/8 pictures, all drawn, judging, " in steps[-1].text


def test_the_rate_is_of_the_pictures() -> None:
    assert note(Drawn(30, 60, "base", 12.0)) == "base, 2.5 pictures/s"
    assert note(Drawn(3, 60, "base", 120.0)) == "base, 0.025 pictures/s"


def test_all_that_is_drawn_is_counted_and_what_is_kept_is_not(tmp_path: Path) -> None:
    told: list[Drawn] = []
    own = settings(device="cpu", base_pictures=str(tmp_path / "kept"))
    here = counted(load_drawing(own, {}), n_photos=0, tell=told.append)
    wanted = CONFIG.picture_set()
    list(here.pictures("base", wanted))
    assert told[0].done == 0
    assert told[0].total >= 4
    assert [(each.done, each.arm) for each in told[1:]] == [(2, "base"), (4, "base")]
    again = list[Drawn]()
    here = counted(load_drawing(own, {}), n_photos=0, tell=again.append)
    list(here.pictures("base", wanted))
    assert again == [Drawn(0, told[0].total - 4)]
