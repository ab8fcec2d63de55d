"""A run that is running, in a real browser: its progress moves, and its Ray dashboard opens."""

import contextvars
import re
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
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
from tests.browser import NEEDS_CHROMIUM, Tab, browser
from tests.flows.flow_samples import rebuild_params
from tests.ray_nodes import cluster_of_nodes

pytestmark = [
    pytest.mark.prefect,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    NEEDS_CHROMIUM,
]

PATIENCE_S = 300.0
DELIVERY_S = 12.0  # after which the server has been told of a unit
UNITS = r"(\d+)\/16"  # for Python and for the page


def test_a_running_runs_progress_moves_in_the_page_and_its_ray_dashboard_opens(
    prefect_api: str, drawn: DrawnFolder, tmp_path: Path
) -> None:
    home, port = prefect_api.removesuffix("/api"), any_free()
    small = rebuild_params(drawn, tmp_path / "data").model_copy(update={"unit_size": 4})
    with cluster_of_nodes(cpus=2, dashboard=port) as cluster, browser(tmp_path) as tab:
        tab.size(1280, 1000)
        params = small.model_copy(update={"ray_address": cluster.address})
        with running(params) as ended:
            until(lambda: list((tmp_path / "data").glob("shards/*.json")), ended)
            run = run_of(prefect_api, params.root)
            with held_at(lambda: artifacts(prefect_api, run)["extract"]["data"]):
                shown = artifacts(prefect_api, run)
                page = f"{home}/artifacts/artifact/{shown['extract']['id']}"
                seen = units_on(tab, page, lambda done: 0 < done < 15)
                assert state_of(prefect_api, run) == "RUNNING"
                opens_dashboard(tab, shown["ray-dashboard"]["data"], port)
            assert units_on(tab, page, lambda done: done > seen) > seen
        assert units_on(tab, page, lambda done: done > 14) > 14
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
def held_at(progress: Callable[[], float]) -> Generator[None]:
    """The extractor stands still where the server shows some progress, but not all of it."""
    workers = [p for p in psutil.process_iter() if "ray::_Worker" in command(p)]
    assert workers
    deadline = time.monotonic() + PATIENCE_S
    try:
        while True:
            signal_all(workers, signal.SIGSTOP)
            wait = time.monotonic() + DELIVERY_S
            while not progress() and time.monotonic() < wait:
                time.sleep(0.3)
            if progress():
                break
            assert time.monotonic() < deadline
            signal_all(workers, signal.SIGCONT)  # one more unit, or two
            time.sleep(0.5)
        assert progress() < 100
        yield
    finally:
        signal_all(workers, signal.SIGCONT)


def signal_all(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def units_on(tab: Tab, page: str, enough: Callable[[int], bool]) -> int:
    """How many units are done, by Prefect's page, once that is enough.

    The page reads its artifact when it is opened, and not again: it is loaded anew.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        tab.open(page)
        tab.wait(f"/{UNITS}/.test(document.body.innerText)", seconds=PATIENCE_S)
        found = re.search(UNITS, tab.run("document.body.innerText"))
        if found and enough(int(found[1])):
            return int(found[1])
        assert time.monotonic() < deadline, tab.state()
        time.sleep(1)


def opens_dashboard(tab: Tab, link: str, port: int) -> None:
    """The link leads to Ray's pages, which may ask for its token."""
    page = re.search(r"\((http[^)]+)\)", link)
    assert page is not None
    assert page[1].startswith(f"http://127.0.0.1:{port}/#/jobs/")
    tab.open(page[1])
    tab.wait("document.title.includes('Ray') && document.body.innerText.trim()", seconds=PATIENCE_S)
    tab.wait("/Jobs|[Tt]oken/.test(document.body.innerText)", seconds=PATIENCE_S)


def run_of(api: str, root: str) -> str:
    answer = httpx.post(f"{api}/flow_runs/filter", json={"sort": "START_TIME_DESC"})
    runs = answer.raise_for_status().json()
    mine = (r["id"] for r in runs if r["parameters"].get("params", {}).get("root") == root)
    return str(next(mine))


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
