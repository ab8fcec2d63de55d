"""One real Prefect server for all flow tests, and a small drawn source of photos."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from flows.server import private_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a private Prefect server; subprocesses take it as it is."""
    with private_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


@pytest.fixture
def prefect_api(server: Mapping[str, str]) -> Iterator[str]:
    """Flows of this process run against the private server."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
        temporary_settings,
    )

    updates = {
        PREFECT_API_URL: server["PREFECT_API_URL"],
        PREFECT_HOME: Path(server["PREFECT_HOME"]),
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore",
    }
    with temporary_settings(updates):
        yield server["PREFECT_API_URL"]


@pytest.fixture(scope="session")
def environment(server: Mapping[str, str]) -> dict[str, str]:
    """What a subprocess of the command line needs to use the private server."""
    return os.environ | dict(server)
