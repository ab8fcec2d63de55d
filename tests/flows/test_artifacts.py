"""What a run shows in the Prefect UI."""

import base64
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.runtime import flow_run

from flows import artifacts
from flows.artifacts import Progress, publish_markdown, publish_picture, publish_table

pytestmark = pytest.mark.prefect


def shown(api: str, work: Callable[[], object]) -> dict[str, dict[str, Any]]:
    """The artifacts that ``work`` leaves behind when it runs in a flow, by key."""

    @flow(name="artifacts")
    def run() -> str:
        work()
        return str(flow_run.get_id())

    wanted = {"artifacts": {"flow_run_id": {"any_": [run()]}}}
    answer = httpx.post(f"{api}/artifacts/filter", json=wanted).raise_for_status()
    return {artifact["key"]: artifact for artifact in answer.json()}


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
        progress = Progress("steps", total=40, unit="steps")
        for done in range(1, 40):
            progress.update(done)

    assert shown(prefect_api, work)["steps"]["data"] == 0.0

    def finished() -> None:
        progress = Progress("done", total=2, unit="steps")
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
        Progress("slow", total=4, unit="units").update(1)

    found = shown(prefect_api, work)["slow"]
    assert found["data"] == 25.0
    assert found["description"].startswith("1/4 units, ")


def test_the_time_left_counts_from_where_the_work_began(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = [0.0], list[str]()

    def keep(_: object, *, description: str, **__: object) -> None:
        said.append(description)

    monkeypatch.setattr(artifacts, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(artifacts, "MIN_INTERVAL_S", 0.0)
    monkeypatch.setattr(artifacts, "update_progress_artifact", keep)

    def work() -> None:
        progress = Progress("resumed", total=110, unit="steps")
        now[0] = 60.0  # a start-up
        progress.begin(100)
        progress.update(100)
        now[0] = 64.0
        progress.update(102)

    shown(prefect_api, work)
    assert said == ["100/110 steps", "102/110 steps, 16 s left"]
