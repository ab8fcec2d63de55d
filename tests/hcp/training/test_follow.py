"""The driver's side: steps into the log, a wish to stop to the workers, whatever fails."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from hcp.training.follow import Follower
from hcp.training.metrics import StepMetrics
from hcp.training.run_folder import METRICS_NAME, MetricsLog, read_metrics
from hcp.training.stopping import Mailbox, StopRequest


def step(number: int) -> StepMetrics:
    return StepMetrics(
        step=number, loss=1.0, denoise=0.5, alignment=0.25, learning_rate=1e-4, grad_norm=2.0,
        images_per_s=3.0, epoch=0,
    )  # fmt: skip


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_steps_go_into_the_log_and_a_wish_to_the_workers(tmp_path: Path) -> None:
    box, request, notes = Mailbox(), StopRequest(60), list[str]()
    log = MetricsLog(f"{tmp_path}/{METRICS_NAME}")
    follower = Follower(
        take=box.take, stop=box.stop, log=log, request=request, on_note=notes.append
    )
    with follower:
        for number in (1, 2):
            box.put("step", asdict(step(number)))
        box.put("note", "step 2 skipped")
        request.ask()
        until(box.stopping)
        box.put("step", asdict(step(3)))
    assert read_metrics(log.uri) == (step(1), step(2), step(3))
    assert notes[0] == "step 2 skipped"
    assert len(notes) == 2


def test_what_fails_ends_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The Prefect API is down, then the disk full, then both are back."""
    box, seen = Mailbox(), list[int]()

    def show(metrics: StepMetrics) -> None:
        seen.append(metrics.step)
        raise ConnectionError("no API")

    (tmp_path / "run").write_text("in the way")
    log = MetricsLog(f"{tmp_path}/run/{METRICS_NAME}", show)
    with Follower(take=box.take, stop=box.stop, log=log, request=StopRequest(60)):
        for number in range(1, 31):
            box.put("step", asdict(step(number)))
        until(lambda: len(seen) == 30 and "writing" in caplog.text)
        (tmp_path / "run").unlink()
        until(lambda: len(read_metrics(log.uri)) == 30)
    assert sum("no API" in record.message for record in caplog.records) == 1


def test_steps_that_a_killed_driver_did_not_write_are_filled_in(tmp_path: Path) -> None:
    box, seen = Mailbox(), list[int]()
    log = MetricsLog(f"{tmp_path}/{METRICS_NAME}", lambda metrics: seen.append(metrics.step))
    log.add(step(1))
    log.write()
    with Follower(take=box.take, stop=box.stop, log=log, request=StopRequest(60)):
        for number in (1, 2, 3):
            box.put("past", asdict(step(number)))
        box.put("step", asdict(step(4)))
    assert read_metrics(log.uri) == tuple(map(step, range(1, 5)))
    assert seen == [1, 2, 3, 4]
