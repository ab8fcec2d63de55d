"""What each flow does so that nobody has to watch it, with a flow of two lines."""

from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from flows import unattended as module
from flows.limits import RunLimits
from flows.params import ComputeParams, Place
from flows.unattended import unattended
from storage.errors import SourceError

pytestmark = pytest.mark.prefect


class Work(ComputeParams):
    place: Place
    resume: bool = False


@pytest.fixture
def tries() -> list[bool]:
    return []


def failing(tries: list[bool], errors: list[Exception]) -> Any:
    @flow
    @unattended(writes=lambda params: params.place)
    def work(params: Work) -> int:
        tries.append(params.resume)
        if len(tries) <= len(errors):
            raise errors[len(tries) - 1]
        return len(tries)

    return work


def test_a_deployment_s_run_goes_on_and_resumes_after_what_passes(
    prefect_api: str, tmp_path: Path, tries: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "0")
    monkeypatch.setattr(module, "DELAYS_S", (0.1, 0.1, 0.1))
    away: list[Exception] = [ConnectionError("away"), TimeoutError("slow")]
    assert failing(tries, away)(Work(place=str(tmp_path))) == 3
    assert tries == [False, True, True]
    tries.clear()
    with pytest.raises(SourceError):
        failing(tries, [ConnectionError("away"), SourceError("no tar")])(Work(place=str(tmp_path)))
    assert tries == [False, True]


def test_in_a_terminal_an_error_ends_the_command(
    prefect_api: str, tmp_path: Path, tries: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT__FLOW_RUN_ID", raising=False)
    with pytest.raises(ConnectionError):
        failing(tries, [ConnectionError("away")])(Work(place=str(tmp_path)))
    assert tries == [False]


def test_limits_are_settings_of_every_run() -> None:
    given = Work.model_validate({"place": "/a", "limits": {"wait_h": 1, "timeout_h": 2}})
    assert given.limits == RunLimits(wait_h=1.0, timeout_h=2.0)
