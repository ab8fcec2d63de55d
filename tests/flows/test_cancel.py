"""Every flow that computes is cancelled in the UI's way, on a real deployment."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from pydantic import BaseModel

from demo.run import DemoSize, demo_params
from demo.world.dataset import DrawnFolder, write_folder
from flows.cli.settings import merged
from flows.lock_server import LockServer
from flows.locks import lock_name
from flows.names import split_dataset
from flows.params import (
    AblateParams,
    CacheParams,
    EvaluateParams,
    RebuildAndTrainParams,
)
from flows.ray_session import ray_session
from hcp.training.run_folder import METRICS_NAME
from tests.flows.deployed_runs import (
    LIMIT_S,
    Run,
    at_work,
    command,
    seconds_to_end,
    wait_until,
    worker_of,
)
from tests.flows.flow_samples import ROOT, rebuild_params
from tests.ray_nodes import cluster_of_nodes

pytestmark = [pytest.mark.prefect, pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

FLOWS = (
    "cache.py:cache_dataset", "evaluate.py:evaluate_hcp", "pipeline.py:rebuild_and_train",
    "ablate.py:ablate_hcp",
)  # fmt: skip
LONG = 10**6  # steps: none of them ends by itself within the test
GOLDEN = ROOT / "tests" / "golden" / "training" / "latest"


def params_of(flow: str, dataset: str, drawn: DrawnFolder, out: Path) -> BaseModel:
    """Parameters with which a flow computes for longer than the test waits."""
    seeds, inference_steps = (500, 50) if flow == "evaluate-hcp" else (1, 2)
    size = DemoSize(
        photos=1, unit_size=8, train_steps=LONG, seeds=seeds, inference_steps=inference_steps,
        prompts=ROOT / "tests" / "flows" / "few_prompts.txt",
    )  # fmt: skip
    parts = demo_params(out, size)
    train = parts["train"] | {"base": "embedded", "dataset": dataset, "mlflow": False}
    evaluate = parts["evaluate"]
    if flow == "rebuild-and-train":
        places = {"source": str(drawn.root), "root": split_dataset(dataset)[0]}
        own = {"rebuild": places, "train": {"mlflow": False}}
        return RebuildAndTrainParams.model_validate(merged(parts, own))
    if flow == "ablate-hcp":
        given = {"train": train, "evaluate": evaluate, "variants": ["default", "no-alignment"]}
        return AblateParams.model_validate(given)
    if flow == "evaluate-hcp":
        return EvaluateParams.model_validate(evaluate | {"checkpoint": str(GOLDEN)})
    return CacheParams.model_validate({"dataset": dataset, "base": "embedded"})


@pytest.mark.parametrize(
    "flow", ["cache-dataset", "evaluate-hcp", "rebuild-and-train", "ablate-hcp"]
)
def test_a_flow_is_cancelled_and_leaves_nothing(
    client: Any, dataset: str, drawn: DrawnFolder, tmp_path: Path, flow: str,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    from prefect.states import Cancelling

    run = Run.start(client, flow, params_of(flow, dataset, drawn, tmp_path))
    trains = flow in ("rebuild-and-train", "ablate-hcp")

    def computes() -> bool:
        assert not {"Completed", "Failed", "Crashed"} & {*run.history}
        if run.state != "Running":
            return False
        if trains:
            return any(tmp_path.glob(f"**/{METRICS_NAME}"))
        return bool(at_work(run.family()))

    wait_until(computes, what=f"{flow} computes: {run.history}")
    family = run.family()
    run.set(Cancelling())
    ends = seconds_to_end(run, "Cancelled", family)
    record_property("cancelled_s", ends)
    assert run.history[-2:] == ["Cancelling", "Cancelled"]
    assert ends["work"] < LIMIT_S
    children = client.read_flow_runs(limit=200)
    assert not [each.name for each in children if each.state.is_running()]  # of its subflows
    assert LockServer(lock_name(split_dataset(dataset)[0])).holder() is None


def test_a_run_on_a_cluster_by_address_gives_its_places_back(
    environment: Mapping[str, str], prefect_api: str, tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """Nothing of the cluster is the run's own: its workers end, and the nodes go on."""
    from prefect.states import Cancelling

    many = write_folder(tmp_path / "many", n=300, seed=3000)
    with cluster_of_nodes(cpus=2) as nodes:
        own = rebuild_params(many, tmp_path / "data")
        of_ray = {name: os.environ[name] for name in os.environ if name.startswith("RAY_")}
        log = tmp_path / "worker.log"
        flows = ["rebuild.py:rebuild_dataset"]
        with worker_of({**environment, **of_ray}, flows, log, pool="own") as client:
            params = own.model_copy(update={"ray_address": nodes.address})
            run = Run.start(client, "rebuild-dataset", params)
            wait_until(
                lambda: any((tmp_path / "data").glob("shards/*.json")),
                what=f"a shard: {run.history}",
            )
            here = psutil.Process().children(recursive=True)
            workers = [each for each in at_work(here) if "_Worker" in command(each)]
            assert workers
            family = [*run.family(), *workers]
            run.set(Cancelling())
            ends = seconds_to_end(run, "Cancelled", family)
            record_property("cancelled_s", ends)
            assert ends["work"] < LIMIT_S
            assert len(list((tmp_path / "data").glob("shards/*.json"))) < 30
        with ray_session(nodes.address):
            assert ray.available_resources()["CPU"] == ray.cluster_resources()["CPU"] == 2
