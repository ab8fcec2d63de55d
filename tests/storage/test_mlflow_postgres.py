"""MLflow past one machine: a real PostgreSQL, files on a real S3 endpoint, several writers."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from storage.errors import RegistryError
from storage.mlflow_calls import MlflowCalls
from storage.mlflow_runs import ARTIFACTS_VARIABLE, RunFacts, add_evaluation
from storage.registry import Registry
from storage.tracking import TrackedRun
from tests.postgres import Postgres
from tests.s3_server import bucket_at, serve_s3

pytest.importorskip("s3fs", reason="s3fs is not installed: pip install -e '.[s3]'")
pytest.importorskip("moto.server", reason="moto[server] is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
WRITERS = 4
WRITER = """
import sys
from storage.registry import Registry
entry = Registry(sys.argv[1]).register(
    "raced", checkpoint_uri=sys.argv[2], metrics={"people_ap": float(sys.argv[3])}, tags={}
)
print(entry.version)
"""


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """A bucket ``mlflow``."""
    with serve_s3() as url, bucket_at(url, "mlflow") as store:
        yield store


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> str:
    """An empty database: the first test's writers find no table in it."""
    return postgres.database("mlflow")


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    content = b"weights"
    (tmp_path / "adapter.safetensors").write_bytes(content)
    files = {"adapter.safetensors": hashlib.sha256(content).hexdigest()}
    (tmp_path / "COMPLETE.json").write_text(json.dumps({"files": files}))
    return str(tmp_path)


def facts(name: str, *, experiment: str = "shared") -> RunFacts:
    key = f"s3://mlflow/runs/{name}"
    return RunFacts(name=name, key=key, experiment=experiment, tags={"who": name})


def test_writers_that_begin_at_once_on_an_empty_database_get_their_versions(
    database: str, checkpoint: str
) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, database, checkpoint, f"0.{index}"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for index in range(2)
    ]  # fmt: skip
    answers = [writer.communicate(timeout=240) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], answers
    assert sorted(int(out.split()[-1]) for out, _ in answers) == [1, 2]


def test_trainings_at_once_write_runs_and_files_that_all_machines_reach(
    database: str, store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def train(index: int) -> str:
        with TrackedRun(database, facts(f"run-{index}")) as run:
            for step in range(1, 51):
                run.metrics(step, {"loss": 1 / step + index})
            run.file("samples/step-50.png", f"png {index}".encode())
            assert run.wait(120)
        assert run.run_id is not None
        return run.run_id

    with ThreadPoolExecutor(WRITERS) as pool:
        runs = list(pool.map(train, range(WRITERS)))
    calls = MlflowCalls(database)
    for index, run_id in enumerate(runs):
        history = calls.ask("get_metric_history", run_id, "loss")
        assert [(m.step, m.value) for m in history] == [(s, 1 / s + index) for s in range(1, 51)]
        assert calls.ask("get_run", run_id).info.status == "FINISHED"
        place = calls.ask("get_run", run_id).info.artifact_uri.removeprefix("s3://")
        assert place.startswith("mlflow/runs/mlflow-artifacts/shared/")  # beside the runs
        assert store.cat_file(f"{place}/samples/step-50.png") == f"png {index}".encode()
    report = {"report.html": b"<html>"}
    assert add_evaluation(database, {"who": "run-2"}, files=report, metrics={"ap": 0.5}) == runs[2]
    assert list(tmp_path.iterdir()) == []  # no ./mlruns of whoever came first


def test_champions_of_one_model_move_while_others_register(database: str, checkpoint: str) -> None:
    registry = Registry(database)

    def register(index: int) -> int:
        metrics = {"people_ap": float(index)}
        entry = Registry(database).register(
            "shared", checkpoint_uri=checkpoint, metrics=metrics, tags={"n": str(index)}
        )
        return registry.promote("shared", entry.version).version

    with ThreadPoolExecutor(WRITERS) as pool:
        versions = sorted(pool.map(register, range(WRITERS)))
    assert versions == [1, 2, 3, 4]
    champion = registry.champion("shared")
    assert champion is not None
    assert champion.version in versions
    assert registry.resolve("hcp-registry:shared/champion") == checkpoint


def test_a_server_keeps_runs_in_postgresql_and_files_on_s3(
    postgres: Postgres, store: Any, checkpoint: str, tmp_path: Path
) -> None:
    with _mlflow_server(postgres.url("mlflow"), tmp_path) as address:
        served = [facts(f"served-{index}", experiment="served") for index in range(WRITERS)]
        runs = [TrackedRun(address, each) for each in served]
        for run in runs:
            run.metrics(1, {"loss": 2.0})
            run.file("look.png", b"png")
        for run in runs:
            run.close(timeout_s=120)
        assert all(run.url and run.url.startswith(address) for run in runs)
        for name, status in (("mlflow:5000", 200), ("elsewhere:5000", 403)):
            question = f"{address}/api/2.0/mlflow/experiments/get?experiment_id=0"
            request = Request(question, headers={"Host": name})
            assert _status(request) == status
        entry = Registry(address).register(
            "served", checkpoint_uri=checkpoint, metrics={"people_ap": 0.5}, tags={}
        )
        assert entry.uri == checkpoint  # a path, as on a network share that all machines have
        assert Registry(address).promote("served", 1) == entry
        again = Registry(address).register(
            "served", checkpoint_uri=checkpoint, metrics={"people_ap": 0.5}, tags={}
        )
        assert again == entry
        assert Registry(address).resolve("hcp-registry:served/champion") == checkpoint
    calls = MlflowCalls(postgres.url("mlflow"))  # what the server wrote
    for run in runs:
        found = calls.ask("get_run", run.run_id)
        assert found.data.metrics == {"loss": 2.0}
        place = f"mlflow/served/{found.info.experiment_id}/{run.run_id}/artifacts/look.png"
        assert store.cat_file(place) == b"png"
    champion = Registry(postgres.url("mlflow")).champion("served")
    assert champion == entry


def _status(request: Request) -> int:
    try:
        with urlopen(request, timeout=20) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


class _mlflow_server:  # noqa: N801  # a context manager
    """``mlflow server`` as docs/deploying.md starts it."""

    def __init__(self, database: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._log = folder / "mlflow.log"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers=1"]
        command += ["--port", str(self._port), "--backend-store-uri", database]
        command += ["--artifacts-destination", "s3://mlflow/served"]
        command += ["--allowed-hosts", f"mlflow:5000,127.0.0.1:{self._port}"]
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=self._log.open("wb"),
            stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        )  # fmt: skip

    def __enter__(self) -> str:
        address = f"http://127.0.0.1:{self._port}"
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError), urlopen(f"{address}/health", timeout=5):
                return address
            time.sleep(0.5)
        self.__exit__()
        pytest.fail(f"mlflow server did not start: {self._log.read_text()[-2000:]}")

    def __exit__(self, *error: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, 15)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait(20)


def test_the_place_of_files_can_be_given(
    database: str, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ARTIFACTS_VARIABLE, "s3://mlflow/given/")
    run_facts = RunFacts(name="given", key="/local/runs/given", experiment="given")
    with TrackedRun(database, run_facts) as run:
        run.file("look.png", b"png")
        assert run.wait(60)
    (found,) = store.find("mlflow/given/given")
    assert found.endswith("/artifacts/look.png")


def test_a_database_that_does_not_answer_is_told_at_once_without_its_password(
    postgres: Postgres,
) -> None:
    good = postgres.url("mlflow")
    bad = {
        good.replace("s3cret", "wrong"): "password authentication failed",
        postgres.url("nowhere"): 'database "nowhere" does not exist',
        good.replace(str(postgres.port), "9"): "refused",
        "http://me:s3cret@127.0.0.1:9": "refused",
    }
    for uri, what in bad.items():
        start = time.monotonic()
        with pytest.raises(RegistryError, match=what) as told:
            MlflowCalls(uri)
        assert time.monotonic() - start < 20  # MLflow itself: 102 s
        assert "s3cret" not in str(told.value)
        assert "://***@" in str(told.value)
