"""prefect.yaml on a real server: deployments, cron schedules, the automation."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.flows.provisioned import provisioned

pytestmark = [pytest.mark.prefect, pytest.mark.slow]

DEPLOYMENTS = {
    "rebuild-dataset/nightly",
    "retry-failed/on-demand",
    "cache-dataset/on-demand",
    "train-hcp/on-demand",
    "evaluate-hcp/on-demand",
    "rebuild-and-train/weekly",
    "ablate-hcp/on-demand",
}


@pytest.fixture(scope="module")
def deployed(
    environment: dict[str, str], prefect_api: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment after ``provision``, and the places that its variables name."""
    folder = tmp_path_factory.mktemp("deployed")
    places = {
        "source": str(folder / "photos"),
        "root": str(folder / "data"),
        "base": "embedded",
        "runs": str(folder / "runs"),
        "reports": str(folder / "reports"),
        "checkpoint": str(folder / "runs" / "latest"),
    }
    with provisioned(places=places) as lines:
        assert {f"deployment {name}: made" for name in DEPLOYMENTS} <= set(lines)
        yield environment | {f"HCP_{name.upper()}": value for name, value in places.items()}


def test_all_flows_are_deployed_with_valid_parameters(deployed: dict[str, str]) -> None:
    from prefect.client.orchestration import get_client

    from flows.params import (
        AblateParams,
        CacheParams,
        EvaluateParams,
        RebuildAndTrainParams,
        RebuildParams,
        RetryParams,
        TrainParams,
    )

    kinds = {
        "rebuild-dataset": RebuildParams,
        "retry-failed": RetryParams,
        "cache-dataset": CacheParams,
        "train-hcp": TrainParams,
        "evaluate-hcp": EvaluateParams,
        "rebuild-and-train": RebuildAndTrainParams,
        "ablate-hcp": AblateParams,
    }
    found = set()
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            flow = client.read_flow(deployment.flow_id)
            found.add(f"{flow.name}/{deployment.name}")
            kinds[flow.name].model_validate(deployment.parameters["params"])
            form = deployment.parameter_openapi_schema["definitions"]
            assert kinds[flow.name].__name__ in form  # what the UI draws its form from
    assert found == DEPLOYMENTS


def test_cron_schedules_create_runs_within_30_s(
    deployed: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    from prefect.client.orchestration import get_client

    took_s: dict[str, float] = {}  # by the server's clock, so that no wait of ours counts
    deadline = time.monotonic() + 120
    with get_client(sync_client=True) as client:
        flows = {flow.id: flow.name for flow in client.read_flows()}
        made = {each.id: each for each in client.read_deployments() if each.schedules}
        while len(took_s) < len(made) and time.monotonic() < deadline:
            time.sleep(1)
            for run in client.read_flow_runs():
                if run.auto_scheduled and run.deployment_id in made:
                    after = (run.created - made[run.deployment_id].created).total_seconds()
                    name = flows[run.flow_id]
                    took_s[name] = min(after, took_s.get(name, after))
    record_property("scheduled_after_s", took_s)
    assert set(took_s) == {"rebuild-dataset", "rebuild-and-train"}
    assert max(took_s.values()) < 30


def test_a_new_dataset_version_starts_training_on_it(deployed: dict[str, str]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.events import emit_event

    published = f"{deployed['HCP_ROOT']}@0123456789abcdef"

    with get_client(sync_client=True) as client:
        training = next(f for f in client.read_flows() if f.name == "train-hcp")
        before = _runs_of(client, training.id)
        emit_event(
            event="hcp.dataset.published",
            resource={"prefect.resource.id": "hcp.dataset.0123456789abcdef"},
            payload={"dataset": published, "samples": 1},
        )
        deadline = time.monotonic() + 60
        while _runs_of(client, training.id) == before and time.monotonic() < deadline:
            time.sleep(1)
        (new,) = _runs_of(client, training.id) - before
        run = client.read_flow_run(new)
        assert run.parameters["dataset"] == published
        assert run.parameters["params"]["base"] == "variable:hcp_base"  # read when it starts


def _runs_of(client, flow_id) -> set:
    return {run.id for run in client.read_flow_runs(limit=200) if run.flow_id == flow_id}
