"""What ``hcp provision`` makes on a real server, and that it makes it once."""

from pathlib import Path

import pytest
import yaml

from flows import provision as module
from flows.deployments import ProvisionError, specs
from flows.notices import Notify
from flows.provision import PLACES, automation_files, provision
from tests.flows.provisioned import provisioned


def test_places_of_another_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected some of source, root.*got bucket"):
        provision(places={"bucket": "s3://bucket"})


def test_without_a_server_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(ProvisionError, match="set PREFECT_API_URL="),
    ):
        provision()
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(ProvisionError, match=r"127.0.0.1:9/api does not answer.*start it"),
    ):
        provision()


def test_a_deployment_that_differs_has_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    first = {name: spec["version"] for name, spec in specs("hcp").items()}
    assert len(first) == 7
    assert first == {name: spec["version"] for name, spec in specs("hcp").items()}
    other = specs("gpus")
    assert all(spec["work_pool"]["name"] == "gpus" for spec in other.values())
    assert all(other[name]["version"] != version for name, version in first.items())


def test_automations_wait_longer_than_a_heartbeat_takes() -> None:
    """Prefect's heartbeats come every 30 s at most; three of them may be lost."""
    beats = {
        int(each["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
        for each in specs("hcp").values()
    }
    assert beats == {30}
    (zombies,) = [a for a in map(yaml.safe_load, automation_files()) if a["name"] == "hcp-zombies"]
    assert zombies["trigger"]["within"] >= 4 * 30


@pytest.mark.prefect
@pytest.mark.slow
def test_it_is_made_once_and_what_a_person_changed_stays(
    prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.orchestration import get_client

    monkeypatch.setattr(module, "deploy", lambda pool: [])  # test_deployments has the real one
    for name in PLACES:
        monkeypatch.delenv(f"HCP_{name.upper()}", raising=False)
    root = str(tmp_path / "data")
    given = {"pool": "once", "places": {"hcp_root": root}, "notify": Notify(slack="http://h/s")}
    with provisioned(**given) as first, get_client(sync_client=True) as client:
        assert "work pool once (process): made" in first
        assert any(line.startswith("lock hcp-root-") and line.endswith("made") for line in first)
        for text in automation_files():
            name = yaml.safe_load(text)["name"]
            assert f"automation {name}: made" in first
            (found,) = client.read_automations_by_name(name)
            if name.startswith("hcp-notify"):
                assert [action.type for action in found.actions] == ["send-notification"]
            if name == "hcp-zombies":
                client.pause_automation(found.id)
        again = provision(pool="once")
        assert "automation hcp-zombies: kept, switched off" in again, "\n".join(again)
        assert all("kept" in line or "not set" in line for line in again), again
        changed = provision(pool="once", notify=Notify(webhook="http://h/w", slack="http://h/s"))
        assert "automation hcp-notify: changed" in changed
        (notify,) = client.read_automations_by_name("hcp-notify")
        assert len(notify.actions) == 2
        with pytest.raises(ValueError, match="no block custom-webhook/none"):
            provision(pool="once", notify=Notify(block="custom-webhook/none"))
        assert "variable hcp_root: changed to '/data'" in provision(places={"root": "/data"})
