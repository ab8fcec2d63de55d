"""What a Prefect server answers, and what that means for scheduled runs."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any

import pytest

from flows.doctor.findings import Finding
from flows.doctor.server import check_server, check_server_clock, check_versions

NOW = datetime.now(UTC)
Serve = Callable[[dict[str, Any]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server that gives JSON by path; 404 elsewhere, a number is a status."""
    with ExitStack() as stack:

        def start(answers: dict[str, Any]) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.rfile.read(int(self.headers.get("Content-Length", 0)))
                    path = self.path.removeprefix("/api/").rstrip("/")
                    answer = answers.get(path, 404)
                    text = json.dumps(answer).encode()
                    self.send_response(answer if type(answer) is int else 200)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

                do_POST = do_GET  # noqa: N815 - the name that http.server calls

                def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}/api"

        yield start


def answers(**changed: Any) -> dict[str, Any]:
    """Of a server on which all is well: a nightly deployment, its next run, a worker."""
    deployment = {
        "id": "d", "flow_id": "f", "name": "nightly", "paused": False, "work_pool_name": "hcp",
        "schedules": [{"active": True}], "updated": (NOW - timedelta(hours=1)).isoformat(),
    }  # fmt: skip
    run = {
        "deployment_id": "d", "auto_scheduled": True, "state_name": "Scheduled",
        "expected_start_time": (NOW + timedelta(hours=1)).isoformat(),
    }  # fmt: skip
    return {
        "health": True,
        "admin/version": version("prefect"),
        "deployments/filter": [deployment | changed.get("deployment", {})],
        "flows/filter": [{"id": "f", "name": "rebuild-dataset"}],
        "flow_runs/filter": changed.get("runs", [run]),
        "work_pools/hcp": changed.get("pool", {"type": "process", "is_paused": False}),
        "work_pools/hcp/workers/filter": changed.get(
            "workers", [{"name": "w", "status": "ONLINE"}, {"name": "old", "status": "OFFLINE"}]
        ),
    }


def rows_of(url: str) -> dict[str, Finding]:
    return {row["what"]: row for row in check_server(url, "start it")}


def test_all_is_well(serve: Serve) -> None:
    rows = rows_of(serve(answers()))
    assert {row["state"] for row in rows.values()} == {"ok"}
    assert "rebuild-dataset/nightly at " in rows["schedules"]["found"]
    assert rows["workers"]["found"] == "pool hcp (process): w"


@pytest.mark.parametrize(
    ("changed", "what", "found", "do"),
    [
        ({"runs": []}, "schedules", "create no runs: rebuild-dataset/nightly", "sqlalchemy 2.1"),
        ({"workers": []}, "workers", "none that reports itself", "worker start --pool hcp"),
        ({"workers": [{"name": "w", "status": "OFFLINE"}]}, "workers", "none", "hcp up"),
        ({"pool": 404}, "work pool", "hcp is missing", "work-pool create hcp"),
        ({"pool": {"type": "process", "is_paused": True}}, "work pool", "paused", "resume hcp"),
        ({"deployment": {"work_pool_name": None}}, "work pool", "1 deployments have", "hcp up"),
    ],
)  # fmt: skip
def test_what_keeps_runs_from_starting(
    serve: Serve, changed: dict[str, Any], what: str, found: str, do: str
) -> None:
    row = rows_of(serve(answers(**changed)))[what]
    assert row["state"] == "bad"
    assert found in row["found"]
    assert do in row["do"]


def test_a_paused_deployment_is_noted_and_a_new_one_has_time(serve: Serve) -> None:
    paused = rows_of(serve(answers(deployment={"paused": True}, runs=[])))["schedules"]
    assert paused["state"] != "bad"
    new = answers(deployment={"updated": NOW.isoformat()}, runs=[])
    assert rows_of(serve(new))["schedules"]["state"] == "ok"


def test_no_deployment(serve: Serve) -> None:
    rows = rows_of(serve(answers() | {"deployments/filter": [], "flow_runs/filter": []}))
    assert rows["deployments"]["state"] == "bad"


@pytest.mark.parametrize(
    ("answer", "found", "do"),
    [
        (401, "refuses us (HTTP 401)", "PREFECT_API_KEY"),
        (404, "is no API of Prefect", "ends in /api"),
    ],
)
def test_a_server_that_is_not_ours(serve: Serve, answer: int, found: str, do: str) -> None:
    rows = rows_of(serve({"admin/version": answer}))
    assert rows["prefect server"]["state"] == "bad"
    assert found in rows["prefect server"]["found"]
    assert do in rows["prefect server"]["do"]


def test_versions_and_clocks() -> None:
    assert check_versions("3.8.8", "3.8.1")["state"] == "ok"
    other = check_versions("3.8.8", "3.7.0")
    assert other["state"] == "bad"
    assert "pip install 'prefect==3.7.0'" in other["do"]
    assert check_server_clock(NOW, NOW + timedelta(seconds=3))["state"] == "ok"
    late = check_server_clock(NOW, NOW - timedelta(minutes=5))
    assert late["state"] == "bad"
    assert "300 s" in late["found"]
