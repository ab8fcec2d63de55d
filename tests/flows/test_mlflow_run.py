"""A training's MLflow run, from the flow's side; MLflow itself is tested in test_tracking."""

import logging
from pathlib import Path
from typing import Any

import pytest

from flows import mlflow_run
from flows.mlflow_run import AblationRun, TrainingRun, add_report, code_tags
from flows.params import AblateParams, TrainParams
from hcp.training.look_files import LookFiles
from hcp.training.metrics import StepMetrics
from hcp.training.run_folder import METRICS_NAME, MetricsLog
from hcp.training.watching import RunStart, SampleGrid, Validation
from storage.errors import RegistryError, TrainingStoppedError
from storage.versions import DatasetVersion, open_version

GOLDEN = Path(__file__).parents[1] / "golden" / "data"


@pytest.fixture(autouse=True)
def plain_logger(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests run outside a flow."""
    monkeypatch.setattr(mlflow_run, "get_run_logger", lambda: logging.getLogger("flow"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/registry.db"


@pytest.fixture
def client(registry: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=registry, registry_uri=registry)


@pytest.fixture
def version() -> DatasetVersion:
    return open_version(str(GOLDEN))


def params(registry: str | None, **own: Any) -> TrainParams:
    fields = {"dataset": str(GOLDEN), "base": "embedded", "out": "/runs", "registry": registry}
    return TrainParams.model_validate(fields | own)


def step(number: int) -> StepMetrics:
    return StepMetrics(
        step=number, loss=1 / number, denoise=1.0, alignment=0.5, learning_rate=1e-4,
        grad_norm=1.0, images_per_s=2.0, epoch=0,
    )  # fmt: skip


def test_a_training_s_run_holds_what_happened_and_gets_its_report(
    registry: str, client: Any, version: DatasetVersion
) -> None:
    run = TrainingRun(params(registry), version)
    with run:
        for event in (
            RunStart(run="train-1", folder="/runs/train-1"), Validation(step=0, loss=0.5),
            SampleGrid(step=0, png=b"png"), step(1), step(2),
        ):  # fmt: skip
            run(event)
        run.trained("/runs/adapters/1", digest="d" * 64, checkpoint="/runs/train-1/step-2")
    add_report(registry, "d" * 64, html="<html>", metrics={"people_score": 0.5})
    found = client.get_run(run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "train-1")
    assert found.data.params["training.learning_rate"] == "0.0001"
    assert found.data.metrics["loss"] == 0.5
    assert found.data.metrics["validation/loss"] == 0.5
    assert found.data.metrics["evaluation/people_score"] == 0.5
    assert found.data.tags["hcp.adapter"] == "/runs/adapters/1"
    (given,) = found.inputs.dataset_inputs
    assert given.dataset.digest == version.id
    listed = [client.list_artifacts(run.run_id, name) for name in ("samples", "evaluation")]
    files = [file.path for part in listed for file in part]
    assert files == ["samples/step-00000000.png", "evaluation/report.html"]
    place = run.place()
    assert place is not None
    assert registry in place[1]


def test_steps_that_did_not_arrive_come_when_the_run_goes_on(
    registry: str, client: Any, version: DatasetVersion, tmp_path: Path
) -> None:
    folder = str(tmp_path)
    log, looks = MetricsLog(f"{folder}/{METRICS_NAME}"), LookFiles(folder)
    for number in (1, 2, 3):
        log.add(step(number))
    log.write()
    looks(Validation(step=2, loss=0.25))
    run = TrainingRun(params(registry), version)
    with run:
        for event in (RunStart(run="train-2", folder=folder, last_step=3), step(3), step(4)):
            run(event)
    history = client.get_metric_history(run.run_id, "loss")
    assert [m.step for m in history] == [1, 2, 3, 4]
    assert client.get_run(run.run_id).data.metrics["validation/loss"] == 0.25


def test_a_stopped_training_s_run_is_killed_and_not_failed(
    registry: str, client: Any, version: DatasetVersion
) -> None:
    run = TrainingRun(params(registry), version)
    run(RunStart(run="train-3", folder="/runs/train-3"))
    with pytest.raises(TrainingStoppedError), run:
        raise TrainingStoppedError("stopped")
    assert client.get_run(run.run_id).info.status == "KILLED"


def test_without_mlflow_nothing_is_kept(version: DatasetVersion) -> None:
    with TrainingRun(params(None, mlflow=False), version) as run:
        run(RunStart(run="r", folder="/runs/r"))
        run(step(1))
    assert run.run_id is None
    assert run.place() is None
    assert run.tracking_uri is None


def test_a_registry_that_mlflow_cannot_use_is_refused_before_the_start(
    version: DatasetVersion,
) -> None:
    with pytest.raises(RegistryError, match="plain files"):
        TrainingRun(params("/some/folder"), version)


def test_a_report_of_an_unknown_training_goes_nowhere(registry: str, tmp_path: Path) -> None:
    add_report(registry, "0" * 64, html="", metrics={})
    add_report(f"sqlite:///{tmp_path}/none.db", "0" * 64, html="", metrics={})
    assert not list(tmp_path.iterdir())


def test_the_trainings_of_an_ablation_are_its_parts(
    registry: str, client: Any, version: DatasetVersion
) -> None:
    evaluate = {"base": "embedded", "out": "/report", "registry": registry}
    train = params(None).model_dump() | {"out": "/runs/ablation"}
    given = AblateParams.model_validate({"train": train, "evaluate": evaluate})
    with AblationRun(given) as parent:
        child = parent.child()
        parent.table([{"variant": "default", "people_score": 0.5}])
    assert child.registry == registry
    assert child.parent_run is not None
    assert client.get_run(child.parent_run).info.run_name == "ablation ablation"
    (file,) = client.list_artifacts(child.parent_run)
    assert file.path == "ablation.json"


def test_the_tags_name_code_and_libraries() -> None:
    tags = code_tags("train-hcp")
    assert tags["mlflow.source.name"] == "train-hcp"
    assert tags["version.torch"]
    assert all(isinstance(value, str) for value in tags.values())
