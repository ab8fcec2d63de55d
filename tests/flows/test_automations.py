"""The automations that wait, on a real server and with short times: each fires once."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.notices import Notify
from flows.provision import automation_files
from tests.flows.provisioned import provisioned
from tests.flows.webhook import Webhook, webhook

pytestmark = [pytest.mark.prefect, pytest.mark.slow, pytest.mark.timeout(400)]

SHORT_S = 10  # the least that Prefect takes
SHORT = {"hcp-crashed-1": SHORT_S, "hcp-crashed-2": SHORT_S, "hcp-notify-late": SHORT_S}
PATIENCE_S = 120


@pytest.fixture
def told(prefect_api: str, tmp_path: Path) -> Iterator[Webhook]:
    """All that ``hcp provision`` makes, but for the times; gone afterwards."""
    from prefect.client.orchestration import get_client
    from prefect.events.schemas.automations import AutomationCore

    places = dict.fromkeys(("source", "root", "runs", "reports"), str(tmp_path))
    with webhook() as hook:
        given = {"places": places | {"base": "embedded"}, "notify": Notify(webhook=hook.url)}
        with provisioned(**given), get_client(sync_client=True) as client:
            names = [yaml.safe_load(text)["name"] for text in automation_files()]
            made = {name: client.read_automations_by_name(name)[0] for name in names}
            for name, short_s in SHORT.items():
                plain = made[name].model_dump(mode="json", exclude={"id", "owner_resource"})
                plain["trigger"] |= {"within": short_s}
                client.update_automation(made[name].id, AutomationCore.model_validate(plain))
            yield hook


def test_a_third_crash_and_a_run_that_nobody_takes_are_told_once(
    told: Webhook, prefect_api: str, record_property: Callable[[str, object], None]
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Crashed, Paused, Running

    with get_client(sync_client=True) as client:
        nightly = client.read_deployment_by_name("rebuild-dataset/nightly")
        late = client.create_flow_run_from_deployment(nightly.id)  # the pool has no worker
        begun = time.monotonic()
        training = client.read_deployment_by_name("train-hcp/on-demand")
        crashing = client.create_flow_run_from_deployment(
            training.id, state=Paused(timeout_seconds=3600)
        )
        for crash in (1, 2, 3):
            client.set_flow_run_state(crashing.id, Running(), force=True)
            client.set_flow_run_state(crashing.id, Crashed(message=f"crash {crash}"), force=True)
            if crash < 3:  # the automation has it tried again, and tells nobody
                _until(lambda: _state(client, crashing) in ("AwaitingRetry", "Late"), "a new try")
                assert told.about(crashing.name) == []
        crashed = time.monotonic()
        _until(lambda: told.about(crashing.name), "the third crash's message")
        _until(lambda: told.about(late.name), "the late run's message")
        time.sleep(3)  # a second message would come now
        assert _state(client, crashing) == "Crashed"

    ((at, message),) = told.about(crashing.name)
    assert message["subject"] == f"hcp: train-hcp Crashed: {crashing.name}"
    assert "crash 3" in message["body"]
    assert f"/runs/flow-run/{crashing.id}" in message["body"]
    assert at - crashed < 60
    ((late_at, message),) = told.about(late.name)
    assert message["subject"] == f"hcp: no worker has taken {late.name}"
    assert "Start a worker (prefect worker start --pool hcp" in message["body"]
    assert f"/runs/flow-run/{late.id}" in message["body"]
    record_property("crash_told_after_s", round(at - crashed, 1))
    record_property("late_told_after_s", round(late_at - begun, 1))


def _state(client: Any, run: Any) -> str:
    return client.read_flow_run(run.id).state.name


def _until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come within {PATIENCE_S} s"
        time.sleep(0.3)
