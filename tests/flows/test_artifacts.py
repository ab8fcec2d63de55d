"""What a run shows in the Prefect UI."""

import base64
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from threading import Timer
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.runtime import flow_run

from flows import artifacts
from flows.artifacts import (
    Progress,
    publish_link,
    publish_markdown,
    publish_picture,
    publish_table,
)
from tests.flows.line import Line

pytestmark = pytest.mark.prefect


def shown(api: str, work: Callable[[], object]) -> dict[str, dict[str, Any]]:
    """The artifacts that ``work`` leaves behind when it runs in a flow, by key."""

    @flow(name="artifacts")
    def run() -> str:
        work()
        return str(flow_run.get_id())

    wanted = {"artifacts": {"flow_run_id": {"any_": [run()]}}}
    answer = httpx.post(f"{api}/artifacts/filter", json=wanted).raise_for_status()
    # An answer that was lost makes a second artifact of a key: the newest one counts.
    found = sorted(answer.json(), key=lambda artifact: str(artifact["updated"]))
    return {artifact["key"]: artifact for artifact in found}


def test_tables_texts_and_pictures_arrive(prefect_api: str) -> None:
    def work() -> None:
        publish_table("rows", [{"a": 1, "b": None}, {"a": 2.5, "b": "x"}], description="rows")
        publish_markdown("text", "# Title", description="text")
        publish_picture("picture", b"\xff\xd8jpeg", description="picture")

    found = shown(prefect_api, work)
    assert '"b": "x"' in str(found["rows"]["data"])
    assert found["text"]["data"] == "# Title"
    head, _, body = str(found["picture"]["data"]).partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(body) == b"\xff\xd8jpeg"


def test_progress_is_throttled_but_its_end_always_shows(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MIN_INTERVAL_S", 1e6)  # however slow the server is

    def work() -> None:
        with Progress("steps", total=40, unit="steps") as progress:
            for done in range(1, 40):
                progress.update(done)

    assert shown(prefect_api, work)["steps"]["data"] == 0.0

    def finished() -> None:
        with Progress("done", total=2, unit="steps") as progress:
            progress.update(1)
            progress.update(2, "loss 0.5")

    last = shown(prefect_api, finished)["done"]
    assert last["data"] == 100.0
    assert last["description"].startswith("2/2 steps, loss 0.5, 0 s left")


def test_progress_that_is_slow_shows_each_step(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MIN_INTERVAL_S", 0.0)

    def work() -> None:
        with Progress("slow", total=4, unit="units") as progress:
            progress.update(1)

    found = shown(prefect_api, work)["slow"]
    assert found["data"] == 25.0
    assert found["description"].startswith("1/4 units, ")


def test_the_time_left_counts_from_where_the_work_began(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(artifacts, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(artifacts, "MIN_INTERVAL_S", 0.0)

    def work(key: str, later: bool) -> None:
        now[0] = 0.0
        with Progress(key, total=110, unit="steps") as progress:
            now[0] = 60.0  # a start-up
            progress.begin(100)
            progress.update(100)
            now[0] = 64.0
            if later:
                progress.update(102)

    for later, said in ((False, "100/110 steps"), (True, "102/110 steps, 16 s left")):
        key = f"resumed-{later}".lower()
        assert shown(prefect_api, partial(work, key, later))[key]["description"] == said


@pytest.fixture
def line(prefect_api: str) -> Iterator[Line]:
    """The way to the server, which can be cut."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with Line(prefect_api) as line, temporary_settings({PREFECT_API_URL: line.url}):
        yield line


def test_d04_a_server_that_is_away_for_a_while_is_shown_the_newest_state_when_it_is_back(
    prefect_api: str, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "MIN_INTERVAL_S", 0.0)
    took_s: list[float] = []

    def work() -> None:
        with Progress("loop", total=50, unit="units") as progress:
            for done in range(1, 51):
                if done == 10:
                    line.cut()
                start_s = time.monotonic()
                progress.update(done)
                took_s.append(time.monotonic() - start_s)
                time.sleep(0.05)
            Timer(1.0, line.mend).start()
        line.cut()
        Timer(3.0, line.mend).start()
        publish_table("rows", [{"a": 1}], description="rows")
        line.cut()
        Timer(3.0, line.mend).start()
        publish_link("page", "s3://bucket/a b [1] (2)", description="page")

    found = shown(prefect_api, work)
    assert max(took_s) < 1.0  # the loop waits for nobody
    assert (found["loop"]["data"], found["loop"]["description"][:11]) == (100.0, "50/50 units")
    assert '"a": 1' in str(found["rows"]["data"])
    assert found["page"]["data"] == (  # D06
        r"[s3://bucket/a b \[1\] (2)](s3://bucket/a%20b%20%5B1%5D%20%282%29)"
    )


def test_d04_a_server_that_does_not_come_back_ends_nothing(
    prefect_api: str, line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(artifacts, "PATIENCE_S", 0.5)
    done: list[str] = []

    def work() -> None:
        line.cut()
        with Progress("loop", total=1, unit="units") as progress:
            progress.update(1)
        publish_table("rows", [{"a": 1}], description="rows")
        publish_markdown("text", "text", description="text")
        publish_picture("picture", b"jpeg", description="picture")
        publish_link("page", "https://example.org", description="page")
        done.append("all")
        line.mend()

    shown(prefect_api, work)
    assert done == ["all"]
    for key in ("loop", "rows", "text", "picture", "page"):
        assert re.search(rf"\({key}\): [12] items were not delivered", caplog.text)
