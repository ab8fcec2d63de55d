"""A training's MLflow run, in a real MLflow on a sqlite file."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import background
from storage.mlflow_runs import DatasetFacts, RunFacts, add_evaluation
from storage.tracking import TrackedRun

FACTS = RunFacts(
    name="train-0123-0",
    key="file:///runs/train-0123-0",
    settings={"training": {"steps": 4, "seed": 0, "data": {"aspects": [1.0], "note": "x" * 9000}}},
    datasets=[
        DatasetFacts(
            name="data", version="087adefe7626544b", uri="data@087adefe7626544b", profile={"n": 3}
        )
    ],
    tags={"mlflow.source.git.commit": "abc"},
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """MLflow makes a database once; that takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/registry.db"


@pytest.fixture
def client(database: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=database, registry_uri=database)


def history(client: Any, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client.get_metric_history(run_id, name)]


def facts(name: str, **changes: Any) -> RunFacts:
    return replace(FACTS, name=name, key=f"file:///runs/{name}", **changes)


def test_a_run_holds_settings_dataset_metrics_and_files(database: str, client: Any) -> None:
    with TrackedRun(database, facts("whole")) as run:
        for step in range(1, 401):
            run.metrics(step, {"loss": 1 / step, "alignment/mid": 0.5, "bad": float("nan")})
        run.metrics(400, {"validation/loss": 0.25}, series="validation")
        run.file("samples/step-00000400.png", b"png")
        run.tag({"hcp.adapter_sha256": "d" * 64})
    assert run.run_id is not None
    assert run.url is None
    found = client.get_run(run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "whole")
    assert found.data.params["training.steps"] == "4"
    assert found.data.params["training.data.aspects"] == "[1.0]"
    assert len(found.data.params["training.data.note"]) == 6000
    assert found.data.tags["mlflow.source.git.commit"] == "abc"
    assert history(client, run.run_id, "loss") == [(s, 1 / s) for s in range(1, 401)]
    assert history(client, run.run_id, "validation/loss") == [(400, 0.25)]
    (given,) = found.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("data", "087adefe7626544b")
    names = [file.path for file in client.list_artifacts(run.run_id, "samples")]
    assert names == ["samples/step-00000400.png"]
    place = Path(database.removeprefix("sqlite:///"))
    assert str(place.with_name("registry-artifacts")) in found.info.artifact_uri


def test_a_resumed_run_goes_on_without_double_steps(database: str, client: Any) -> None:
    with TrackedRun(database, facts("resumed")) as first:
        for step in (1, 2, 3):
            first.metrics(step, {"loss": float(step)})
    longer = {"training": {"steps": 9, "seed": 0, "new": True}}
    again = facts("resumed", settings=longer, steps_before=3)
    with TrackedRun(database, again) as second:
        for step in (2, 3, 4):
            second.metrics(step, {"loss": float(10 * step)})
    assert second.run_id == first.run_id
    assert first.run_id is not None
    assert history(client, first.run_id, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)]
    data = client.get_run(first.run_id).data
    assert (data.params["training.steps"], data.params["training.new"]) == ("4", "true")
    assert data.tags["changed.training.steps"] == "9"
    # The folder was removed, and a new run has its name.
    with TrackedRun(database, facts("resumed")) as other:
        other.metrics(1, {"loss": 5.0})
    assert other.run_id not in (None, first.run_id)


def test_a_failure_and_a_cancellation_show(database: str, client: Any) -> None:
    def ended_by(error: BaseException) -> str:
        run = TrackedRun(database, facts(type(error).__name__))
        with pytest.raises(type(error)), run:
            raise error
        return client.get_run(run.run_id).info.status

    assert ended_by(ValueError()) == "FAILED"
    assert ended_by(KeyboardInterrupt()) == "KILLED"


def test_children_lie_below_their_parent(database: str, client: Any) -> None:
    with TrackedRun(database, facts("parent")) as parent:
        assert parent.wait(30)
        with TrackedRun(database, facts("child", parent=parent.run_id)) as child:
            pass
    assert child.run_id is not None
    assert client.get_run(child.run_id).data.tags["mlflow.parentRunId"] == parent.run_id


def test_what_mlflow_refuses_is_said_once_and_the_rest_goes_on(
    database: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with TrackedRun(database, facts("refused")) as run:
        for _ in range(3):
            run.tag({"bad\nname": "x"})
        run.metrics(1, {"loss": 1.0})
    assert run.run_id is not None
    assert history(client, run.run_id, "loss") == [(1, 1.0)]
    assert sum("left out" in r.getMessage() for r in caplog.records) == 1


def test_a_server_that_is_away_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(background, "FIRST_WAIT_S", 0.02)
    start = time.monotonic()
    run = TrackedRun("http://127.0.0.1:9", facts("away"))
    for step in range(1000):
        run.metrics(step, {"loss": 1.0})
    assert time.monotonic() - start < 1
    run.close(timeout_s=1)
    assert run.run_id is None
    assert sum("trying again" in r.getMessage() for r in caplog.records) == 1
    assert "items were not delivered" in caplog.text


def test_a_warning_names_no_password(caplog: pytest.LogCaptureFixture) -> None:
    run = TrackedRun("postgresql://me:secret@127.0.0.1:9/runs", facts("secret"))
    run.close(timeout_s=0.1)
    assert "postgresql://***@127.0.0.1:9/runs" in caplog.text
    assert "me:secret" not in caplog.text


def test_an_evaluation_is_added_to_the_training_it_is_of(
    database: str, client: Any, tmp_path: Path
) -> None:
    with TrackedRun(database, facts("evaluated")) as run:
        run.tag({"hcp.adapter_sha256": "e" * 64})
    report = {"evaluation/report.html": b"<html>"}
    found = add_evaluation(
        database, {"hcp.adapter_sha256": "e" * 64}, files=report, metrics={"people_score": 0.5},
        step=4,
    )  # fmt: skip
    assert found == run.run_id
    assert history(client, found, "evaluation/people_score") == [(4, 0.5)]
    page = client.download_artifacts(found, "evaluation/report.html", str(tmp_path))
    assert Path(page).read_bytes() == b"<html>"
    assert add_evaluation(database, {"hcp.adapter_sha256": "0"}, files={}, metrics={}) is None


@pytest.mark.parametrize("deleted", ["experiment", "run", "both", "before"])
def test_what_is_deleted_in_mlflows_pages_is_restored(
    database: str, client: Any, deleted: str
) -> None:
    said: list[str] = []
    known = facts(f"deleted-{deleted}", experiment=f"deleted-{deleted}")
    if deleted == "before":
        client.delete_experiment(client.create_experiment(known.experiment))
    with TrackedRun(database, known, say=said.append) as run:
        run.metrics(1, {"loss": 1.0})
        assert run.wait(60)
        assert run.run_id is not None
        experiment = client.get_experiment_by_name(known.experiment)
        if deleted in ("run", "both"):
            client.delete_run(run.run_id)
        if deleted in ("experiment", "both"):
            client.delete_experiment(experiment.experiment_id)
        run.metrics(2, {"loss": 0.5})
        assert run.wait(60)
        run.tag({"hcp.adapter": "a"})
    found = client.get_run(run.run_id)
    assert (found.info.lifecycle_stage, found.info.status) == ("active", "FINISHED")
    assert client.get_experiment(found.info.experiment_id).lifecycle_stage == "active"
    assert history(client, run.run_id, "loss") == [(1, 1.0), (2, 0.5)]
    assert found.data.tags["hcp.adapter"] == "a"
    assert len(said) == (deleted != "before")


@pytest.mark.slow
def test_d06_a_database_in_a_folder_of_any_name_holds_runs_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from storage.registry import default_tracking_uri

    folder = tmp_path / "runs [v2] 100% (final) #1 é"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where = default_tracking_uri()
    with TrackedRun(where, facts("anywhere")) as run:
        run.file("x/y [1].txt", b"1")
    assert run.run_id is not None
    (found,) = MlflowClient(where, where).list_artifacts(run.run_id, "x")
    assert found.path == "x/y [1].txt"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
