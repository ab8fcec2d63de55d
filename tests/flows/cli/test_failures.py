"""Errors that are not ours, told in one line (D04)."""

import sys

import httpx
import pytest

from flows.cli.app import main
from flows.cli.failures import server_is_away

API = "http://127.0.0.1:9/api"


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
def test_d04_a_server_that_was_lost_is_told_from_any_other(
    error: type[httpx.TransportError],
) -> None:
    ours = error("no route", request=httpx.Request("POST", f"{API}/flow_runs/1/set_state"))
    said = server_is_away(ours, API)
    assert said is not None
    assert "what was committed is kept" in said
    other = error("no route", request=httpx.Request("GET", "https://example.org/model"))
    assert server_is_away(other, API) is None
    assert server_is_away(error("no route"), API) is None
    assert server_is_away(ours, None) is None
    assert server_is_away(RuntimeError("something else"), API) is None


@pytest.mark.slow
def test_d04_a_server_that_does_not_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setattr(sys, "argv", ["hcp", "rebuild", "--source", "s", "--root", "r"])
    with temporary_settings({PREFECT_API_URL: API}), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "error: Prefect's server does not answer" in capsys.readouterr().err
