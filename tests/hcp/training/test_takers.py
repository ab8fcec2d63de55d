"""Each taker gets every event, whatever the others do."""

from dataclasses import replace
from pathlib import Path

import pytest

from hcp.training.config import TrainConfig
from hcp.training.look_files import read_validations
from hcp.training.takers import EventTakers
from hcp.training.watching import Event, RunStart, Validation


def test_one_that_fails_is_said_once_and_stops_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: Event) -> None:
        raise ConnectionError("the API is away")

    config = replace(TrainConfig(), tensorboard=True)
    with EventTakers(str(tmp_path), config, fail) as takers:
        takers(RunStart(run="r", folder=str(tmp_path)))
        for step in (0, 5):
            takers(Validation(step=step, loss=1.0))
    assert len(read_validations(str(tmp_path / "validation.jsonl"))) == 2
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1
    assert caplog.text.count("the API is away") == 1
