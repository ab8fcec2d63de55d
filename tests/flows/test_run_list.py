"""`hcp runs`: what the server has, and what to do where there is none."""

import json

import httpx
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.run_list import list_runs
from storage.errors import HcpError


@pytest.mark.prefect
@pytest.mark.slow
def test_the_latest_runs_with_their_reasons(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with httpx.Client(base_url=prefect_api, timeout=60) as client:
        flow = client.post("/flows/", json={"name": "listed-flow"}).json()["id"]
        for name, state in (("a", "COMPLETED"), ("b", "CRASHED")):
            body = {
                "flow_id": flow,
                "name": name,
                "state": {"type": state, "message": f"why {name}"},
            }
            client.post("/flow_runs/", json=body).raise_for_status()
    mine = [each for each in list_runs(limit=250) if each.flow == "listed-flow"]
    assert {(each.name, each.state.lower()) for each in mine} == {
        ("a", "completed"),
        ("b", "crashed"),
    }
    assert all(each.url.startswith(prefect_api.removesuffix("/api")) for each in mine)
    crashed = CliRunner().invoke(app, ["runs", "--state", "crashed", "--limit", "200"])
    assert "b: why b\n" in crashed.output
    rows = json.loads(CliRunner().invoke(app, ["runs", "--json"]).stdout)["runs"]
    assert {"id", "name", "flow", "state", "started", "url"} <= set(rows[0])


def test_a_server_that_is_away_and_an_odd_state_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(HcpError, match=r"127\.0\.0\.1:9/api does not answer.*hcp up"):
        list_runs(limit=1)
    with pytest.raises(HcpError, match="no state odd; there are scheduled"):
        list_runs(limit=1, states=["odd"])
