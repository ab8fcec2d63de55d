"""What Ray workers and our own modules warn of stands in the log of the flow run that it is of."""

import logging
import time

import httpx
import pytest
from prefect import flow, task
from prefect.runtime import flow_run, task_run

from flows.ray_session import ray_session, run_remote

pytestmark = [pytest.mark.prefect, pytest.mark.ray]


def warn(text: str) -> None:
    """In a Ray worker."""
    logging.getLogger("priors.somewhere").warning("warns: %s", text)
    logging.getLogger("diffusers.models").error("fails: %s", text)
    logging.getLogger("priors.somewhere").info("quiet: %s", text)


def logs(api: str, **wanted: str) -> list[str]:
    """The messages of a run, once they have arrived: Prefect sends them every two seconds."""
    body = {"logs": {name: {"any_": [value]} for name, value in wanted.items()}}
    deadline = time.monotonic() + 60
    while True:
        answer = httpx.post(f"{api}/logs/filter", json=body).raise_for_status().json()
        found = [line["message"] for line in answer if line["level"] >= logging.WARNING]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def test_each_run_has_the_warnings_of_its_own_work(prefect_api: str) -> None:
    runs: dict[str, str] = {}

    @task
    def work() -> None:
        runs["task"] = str(task_run.get_id())
        with ray_session():
            run_remote(warn, "task")
            logging.getLogger("hcp.somewhere").warning("here: task")
            time.sleep(2.5)

    @flow(name="inner")
    def inner() -> None:
        runs["inner"] = str(flow_run.get_id())
        work()

    @flow(name="outer")
    def outer() -> None:
        runs["outer"] = str(flow_run.get_id())
        with ray_session("local"):
            inner()
            run_remote(warn, "outer")
        logging.getLogger("hcp.somewhere").warning("here: after the session")

    outer()
    found = {"inner": logs(prefect_api, flow_run_id=runs["inner"]),
             "outer": logs(prefect_api, flow_run_id=runs["outer"])}  # fmt: skip
    assert logs(prefect_api, task_run_id=runs["task"]) == found["inner"]
    for name, where in (("task", "inner"), ("outer", "outer")):
        ours = [text for text in found[where] if text.endswith(f": {name}") and "node" in text]
        assert [text.partition(" [")[0] for text in ours] == [
            "priors.somewhere",
            "diffusers.models",
        ]
        assert all("pid" in text for text in ours)
    assert "hcp.somewhere: here: task" in found["inner"]
    assert not any("quiet" in text for texts in found.values() for text in texts)
    assert not any(text.endswith("outer") for text in found["inner"])
    assert not any(text.endswith("task") for text in found["outer"])
