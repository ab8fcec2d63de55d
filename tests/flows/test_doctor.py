"""``hcp doctor``."""

import pytest

from flows.doctor import examine


def test_this_machine_passes_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    rows = {row["what"]: row for row in examine()}
    assert rows["python"]["state"] == "ok"
    assert rows["embedded models"]["state"] == "ok"
    assert rows["prefect"]["state"] == "note"


def test_a_prefect_server_that_does_not_answer_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    rows = {row["what"]: row for row in examine()}
    assert rows["prefect"]["state"] == "bad"
    assert "127.0.0.1:9" in rows["prefect"]["found"]
