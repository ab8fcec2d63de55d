"""``hcp doctor`` as a whole, and what a terminal is connected with."""

import os
import socket
from pathlib import Path

import pytest

from flows.doctor import examine
from flows.doctor.places import check_places, check_ports, check_ray
from flows.stack.config import Ports, StackConfig, remember
from flows.stack.ports import any_free


@pytest.fixture(autouse=True)
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PREFECT_API_URL", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def test_this_machine_passes_and_says_so(tmp_path: Path) -> None:
    rows = {row["what"]: row for row in examine(tmp_path)}
    assert rows["python"]["state"] == "ok"
    assert rows["weights"]["state"] == "ok"
    assert rows["prefect server"]["state"] == "note"
    assert rows["local stack"]["do"].startswith("hcp up")
    assert all(row["do"] for row in rows.values() if row["state"] == "bad")


def test_a_server_that_does_not_answer_is_bad(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{any_free()}/api")
    rows = {row["what"]: row for row in check_places(tmp_path)}
    assert rows["prefect server"]["state"] == "bad"
    assert os.environ["PREFECT_API_URL"] in rows["prefect server"]["found"]
    assert "hcp up" in rows["prefect server"]["do"]


def test_a_registry_that_does_not_answer_is_bad(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{any_free()}")
    rows = {row["what"]: row for row in check_places(tmp_path)}
    assert rows["model registry"]["state"] == "bad"


def test_a_stack_that_was_stopped_and_one_whose_file_is_broken(tmp_path: Path) -> None:
    remember(StackConfig(folder=tmp_path))
    stopped = {row["what"]: row for row in check_places(tmp_path)}["local stack"]
    assert (stopped["state"], stopped["do"]) == ("note", "hcp up")
    (tmp_path / "stack.json").write_text("{")
    broken = [row for row in check_places(tmp_path) if row["what"] == "local stack"]
    assert broken[0]["state"] == "bad"
    assert "delete it" in broken[0]["found"]


def test_a_taken_port_names_who_has_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = int(other.getsockname()[1])
        ports = Ports(prefect=port)
        (mine,) = _of(port, check_ports(StackConfig(folder=tmp_path, ports=ports)))
        chosen = StackConfig(folder=tmp_path, ports=ports, given=("prefect",))
        (refused,) = _of(port, check_ports(chosen))
    assert mine["state"] == "note"
    assert refused["state"] == "bad"
    assert f"process {os.getpid()}" in refused["found"]
    assert "--prefect-port 0" in refused["do"]


def test_ray(tmp_path: Path) -> None:
    assert check_ray(None, tmp_path)["state"] == "note"
    assert check_ray(f"127.0.0.1:{any_free()}", tmp_path)["state"] == "bad"
    assert "nothing answers" in check_ray("ray://127.0.0.1:1", tmp_path)["found"]
    assert check_ray(None, tmp_path / "none")["state"] == "bad"  # cannot be written


def _of(port: int, rows) -> list:
    return [row for row in rows if str(port) in row["found"]]
