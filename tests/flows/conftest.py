"""One real Prefect server for all flow tests, drawn photos, and a dataset version made of them."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from demo.world.dataset import DrawnFolder, write_folder
from flows.ray_session import ray_session
from flows.server import private_server
from tests.flows.deployed_runs import worker_of
from tests.flows.flow_samples import rebuild_params


@pytest.fixture(scope="session", autouse=True)
def own_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test's training keeps its MLflow run in the folder that the tests are started from."""
    with pytest.MonkeyPatch.context() as patch:
        database = tmp_path_factory.mktemp("mlflow") / "registry.db"
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        yield


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a private Prefect server; subprocesses take it as it is."""
    with private_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


@pytest.fixture(scope="session")
def environment(server: Mapping[str, str]) -> dict[str, str]:
    """What a subprocess needs to use the private server."""
    return os.environ | dict(server)


@pytest.fixture(scope="session")
def prefect_api(server: Mapping[str, str]) -> Iterator[str]:
    """Flows of this process run against the private server."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: server["PREFECT_API_URL"]}):
        yield server["PREFECT_API_URL"]


@pytest.fixture(scope="module")
def client(
    request: pytest.FixtureRequest, environment: Mapping[str, str], prefect_api: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:  # fmt: skip
    """A client of the server, on which a worker runs deployments of the module's ``FLOWS``."""
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    with worker_of(environment, request.module.FLOWS, log) as found:
        yield found


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnFolder:
    """56 drawn photos and four broken ones."""
    return write_folder(tmp_path_factory.mktemp("drawn"), n=56, seed=400, defects=True)


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """One Ray for all flows of a module; that a flow starts its own, test_rebuild shows."""
    with ray_session("local"):
        yield


@pytest.fixture(scope="session")
def dataset(prefect_api: str, drawn: DrawnFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset version as ROOT@VERSION, made by the real flow on Ray."""
    from flows import rebuild_dataset

    root = tmp_path_factory.mktemp("dataset")
    return f"{root}@{rebuild_dataset(rebuild_params(drawn, root))}"
