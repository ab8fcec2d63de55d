"""A run that failed says what to do, in its state, its log and an artifact; all seven flows."""

import logging
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import flow

from flows import ablate_hcp, evaluate_hcp, rebuild_and_train, rebuild_dataset, train_hcp
from flows.cache import cache_dataset
from flows.failed_runs import KEY, LEAD, UNKNOWN, advised, explain, with_advice
from flows.params import (
    AblateParams,
    CacheParams,
    EvaluateParams,
    EvaluateSettings,
    RebuildAndTrainParams,
    RebuildParams,
    RetryParams,
    TrainParams,
    TrainSettings,
)
from flows.retry import retry_failed
from storage.errors import SourceError, WeightsError
from tests.flows.test_artifacts import shown


def test_the_message_is_followed_by_what_to_do_once() -> None:
    error = WeightsError("no file gone.pt")
    assert with_advice(error) is error
    said = str(error)
    assert said.startswith(f"no file gone.pt\n{LEAD}Correct the name")
    assert str(with_advice(error)) == said
    assert str(pickle.loads(pickle.dumps(error))) == said


def test_an_error_with_a_form_of_its_own_says_it_too() -> None:
    full = with_advice(OSError(28, "No space left on device", "/data/x"))
    assert "/data/x" in str(full)
    assert "Make room" in str(full)
    assert isinstance(full, OSError)
    assert full.errno == 28

    class FormedError(MemoryError):
        def __str__(self) -> str:
            return "formed"

    assert LEAD in str(with_advice(FormedError("x")).__notes__)


def test_an_unknown_error_stays_as_it_is() -> None:
    assert str(with_advice(ZeroDivisionError("x"))) == "x"


def test_an_error_of_another_process_is_raised_as_itself() -> None:
    class RayTaskError(Exception):
        cause = SourceError("no photos in /x")

    @advised
    def fail(n: int) -> int:
        """Fail."""
        raise RayTaskError("traceback")

    assert fail.__doc__ == "Fail."
    with pytest.raises(SourceError, match=r"no photos in /x\nWhat to do: ") as caught:
        fail(1)
    assert isinstance(caught.value.__cause__, RayTaskError)


def runs(folder: Path) -> dict[str, tuple[Any, Any]]:
    """Each flow, with parameters that it must refuse."""
    gone, out = str(folder / "gone"), str(folder / "out")
    rebuild = RebuildParams(source=gone, root=str(folder / "photos" / "root"))
    train = TrainParams(dataset=gone, base="embedded", out=out)
    evaluate = EvaluateParams(checkpoint=gone, base="embedded", out=out)
    settings = EvaluateSettings.model_validate(evaluate.model_dump(exclude={"checkpoint"}))
    trained = TrainSettings.model_validate(train.model_dump(exclude={"dataset"}))
    both = RebuildAndTrainParams(rebuild=rebuild, train=trained, evaluate=settings)
    retry = RetryParams.model_validate(rebuild.model_dump())
    return {
        "photos/root from": (rebuild_dataset, rebuild),
        "photos/root from ": (retry_failed, retry),
        "gone for embedded": (cache_dataset, CacheParams(dataset=gone, base="embedded")),
        "gone on embedded: hcp, 2000 steps": (train_hcp, train),
        "gone on embedded": (evaluate_hcp, evaluate),
        "photos/root from  ": (rebuild_and_train, both),
        "gone on embedded: all variants": (
            ablate_hcp, AblateParams(train=train, evaluate=settings)
        ),
    }  # fmt: skip


@pytest.mark.prefect
@pytest.mark.parametrize("number", range(7))
def test_each_flow_is_named_and_says_what_to_do(
    number: int, prefect_api: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name, (work, params) = list(runs(tmp_path).items())[number]
    with pytest.raises(Exception, match=LEAD) as caught, caplog.at_level(logging.ERROR):
        work(params)
    said = str(caught.value).partition(LEAD)[2]
    wanted = {
        "flow_runs": {"name": {"like_": name.strip()}},
        "flows": {"name": {"any_": [work.name]}},
    }
    found = httpx.post(f"{prefect_api}/flow_runs/filter", json=wanted).raise_for_status().json()
    assert [run["state_name"] for run in found] == ["Failed"]
    assert f"{LEAD}{said}" in found[0]["state"]["message"]
    artifact = artifacts_of(prefect_api, found[0]["id"])[KEY]
    assert said in artifact["data"]
    assert type(caught.value).__name__ in artifact["data"]
    assert artifact["data"].count(said) == 1
    assert f"{LEAD}{said}" in caplog.text


def artifacts_of(api: str, run: str) -> Mapping[str, Any]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [run]}}}
    answer = httpx.post(f"{api}/artifacts/filter", json=wanted).raise_for_status()
    return {artifact["key"]: artifact for artifact in answer.json()}


@pytest.mark.prefect
def test_a_wrong_parameter_a_crash_and_an_unknown_error(prefect_api: str) -> None:
    def run(fail: Callable[[], None]) -> str:
        @flow(name="failing", on_failure=[explain], on_crashed=[explain])
        def failing(n: int) -> None:
            fail()

        state = failing(n, return_state=True)
        return artifacts_of(prefect_api, str(state.state_details.flow_run_id))[KEY]["data"]

    def unknown() -> None:
        raise ZeroDivisionError("division")

    def crash() -> None:
        raise SystemExit(15)

    n: Any = 1
    assert UNKNOWN in run(unknown)
    n = "many"
    wrong = run(unknown)
    assert "n" in wrong
    assert "Correct the parameter" in wrong
    n = 1
    with pytest.raises(SystemExit):
        run(crash)


@pytest.mark.prefect
def test_a_worker_calls_the_hook_by_name_and_without_the_error(prefect_api: str) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed

    def work() -> None:
        from prefect.runtime import flow_run

        with get_client(sync_client=True) as client:
            run = client.read_flow_run(str(flow_run.get_id()))
        explain(flow=rebuild_dataset, flow_run=run, state=Crashed(message="ended with -9"))

    found = shown(prefect_api, work)[KEY]["data"]
    assert "ended with -9" in found
    assert UNKNOWN in found
