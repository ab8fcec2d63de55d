"""What must not end a training."""

import pytest

from hcp.training.guarded import Guarded


def test_a_failure_is_said_once_until_it_worked_again(caplog: pytest.LogCaptureFixture) -> None:
    guarded = Guarded()

    def fail() -> None:
        raise OSError("no room")

    for act in (fail, fail, lambda: None, fail):
        guarded("the log", act)
    guarded("the table", fail)
    assert [record.getMessage().split(" failed")[0] for record in caplog.records] == [
        "the log", "the log", "the table"
    ]  # fmt: skip
    assert "no room" in caplog.text
