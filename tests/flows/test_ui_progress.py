"""A run that is running, in a real browser: its progress moves, and its Ray dashboard opens."""

import contextvars
import re
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from demo.world.dataset import DrawnFolder
from flows import rebuild_dataset
from flows.params import RebuildParams
from flows.stack.ports import any_free
from tests.browser import Tab, browser, chromium
from tests.flows.flow_samples import rebuild_params
from tests.ray_nodes import cluster_of_nodes

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(chromium() is None, reason="no Chromium (set HCP_CHROMIUM)"),
]

PATIENCE_S = 180.0
UNITS = r"(\d+)/(\d+) units"


def test_a_running_runs_progress_moves_in_the_page_and_its_ray_dashboard_opens(
    prefect_api: str, drawn: DrawnFolder, tmp_path: Path
) -> None:
    home, port = prefect_api.removesuffix("/api"), any_free()
    small = rebuild_params(drawn, tmp_path / "data").model_copy(update={"unit_size": 4})
    with cluster_of_nodes(cpus=2, dashboard=port) as cluster, browser(tmp_path) as tab:
        tab.size(1280, 1000)
        params = small.model_copy(update={"ray_address": cluster.address})
        with running(params) as ended:
            run = until(lambda: run_of(prefect_api, params.root), ended)
            bar = until(lambda: artifacts(prefect_api, run).get("extract"), ended)
            tab.open(f"{home}/artifacts/artifact/{bar['id']}")
            tab.wait(f"/{UNITS}/.test(document.body.innerText)", seconds=PATIENCE_S)
            until(lambda: 0 < artifacts(prefect_api, run)["extract"]["data"] < 100, ended)
            with worker_held():  # so that the page has time for what a run shows for a moment
                seen = shown_units(tab, lambda done: done > 0)
                assert state_of(prefect_api, run) == "RUNNING"
                link = artifacts(prefect_api, run)["ray-dashboard"]["data"]
                opens_dashboard(tab, link, port)
                tab.open(f"{home}/artifacts/artifact/{bar['id']}")
                shown_units(tab, lambda done: done >= seen)
            shown_units(tab, lambda done: done > seen)  # the page itself asks again
            assert state_of(prefect_api, run) in ("RUNNING", "COMPLETED")
        shown_units(tab, lambda done: done >= 14)
        assert state_of(prefect_api, run) == "COMPLETED"


@contextmanager
def running(params: RebuildParams) -> Generator[threading.Event]:
    """The flow in a thread of its own, which is waited for; the event: it has ended."""
    ended, context = threading.Event(), contextvars.copy_context()

    def work() -> None:
        try:
            context.run(rebuild_dataset, params)
        finally:
            ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield ended
    finally:
        thread.join(PATIENCE_S)


@contextmanager
def worker_held() -> Generator[None]:
    """The extractor's process stands still."""
    workers: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "ray::_Worker" in " ".join(process.cmdline()):
                process.send_signal(signal.SIGSTOP)
                workers.append(process)
    assert workers
    try:
        yield
    finally:
        for process in workers:
            process.send_signal(signal.SIGCONT)


def shown_units(tab: Tab, enough: Callable[[int], bool]) -> int:
    """How many units are done, by the page, once that is enough."""
    deadline, done = time.monotonic() + PATIENCE_S, -1
    while not enough(done):
        assert time.monotonic() < deadline, tab.state()
        found = re.search(UNITS, tab.run("document.body.innerText"))
        done = int(found[1]) if found else -1
        time.sleep(0.1)
    return done


def opens_dashboard(tab: Tab, link: str, port: int) -> None:
    """The link leads to Ray's pages, which may ask for its token."""
    page = re.search(r"\((http[^)]+)\)", link)
    assert page is not None
    assert page[1].startswith(f"http://127.0.0.1:{port}/#/jobs/")
    tab.open(page[1])
    tab.wait("document.title.includes('Ray') && document.body.innerText.trim()", seconds=PATIENCE_S)
    tab.wait("/Jobs|[Tt]oken/.test(document.body.innerText)", seconds=PATIENCE_S)


def run_of(api: str, root: str) -> str | None:
    answer = httpx.post(f"{api}/flow_runs/filter", json={"sort": "START_TIME_DESC"})
    runs = answer.raise_for_status().json()
    mine = (r["id"] for r in runs if r["parameters"].get("params", {}).get("root") == root)
    return next(mine, None)


def artifacts(api: str, run: str) -> dict[str, Any]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [run]}}}
    answer = httpx.post(f"{api}/artifacts/filter", json=wanted).raise_for_status()
    return {each["key"]: each for each in answer.json()}


def state_of(api: str, run: str) -> str:
    return httpx.get(f"{api}/flow_runs/{run}").raise_for_status().json()["state_type"]


def until(found: Callable[[], Any], ended: threading.Event) -> Any:
    """What is found, while the run goes on."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert not ended.is_set(), "the run was over before it was looked at"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return value
