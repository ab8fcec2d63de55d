"""The private Prefect server."""

from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil
import pytest

from flows.server import private_server

pytestmark = pytest.mark.prefect


def test_it_answers_on_loopback_and_shows_the_ui(server: Mapping[str, str]) -> None:
    url = server["PREFECT_API_URL"]
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{url}/health").json() is True
    assert "<html" in httpx.get(url.removesuffix("/api")).text.lower()


@pytest.mark.slow
def test_nothing_is_left_running_after_an_error(tmp_path: Path) -> None:
    home = tmp_path / "demo [v2] 100% #1 é"  # D06
    with pytest.raises(ZeroDivisionError):
        _fail_inside(home)
    assert _processes_of(home) == []


def _fail_inside(home: Path) -> None:
    with private_server(home):
        assert _processes_of(home)
        _ = 1 // 0


def _processes_of(home: Path) -> list[int]:
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT_HOME") == str(home.resolve()):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
