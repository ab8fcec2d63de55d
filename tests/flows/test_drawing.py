"""How an evaluation is split; test_pipeline runs one on several workers, of which one dies."""

from dataclasses import replace

import pytest
from prefect.logging import disable_run_logger

from flows.drawing import PARTS_PER_TASK, Tasks, tasks_of
from flows.extraction import SPARE
from flows.params import EvaluateSettings
from flows.ray_cluster import Cluster
from hcp.evaluation.results import EvaluationConfig

CONFIG = EvaluationConfig(prompts=("a man", "a red car"), seeds=(0, 1), steps=1, batch_size=2)


def settings(**own: object) -> EvaluateSettings:
    given = {"base": "embedded", "out": "out", "evaluation": CONFIG}
    return EvaluateSettings.model_validate(given | own)


@pytest.mark.parametrize(
    ("nodes", "own", "count", "gpus"),
    [
        ([(16, 0)], {}, 1, 0),  # CPUs are no reason to load the models many times
        ([(16, 0)], {"tasks": 3}, 3, 0),
        ([(2, 0)], {"tasks": 3}, 2, 0),  # what fits
        ([(16, 8)], {}, 8, 1),
        ([(16, 4), (16, 4)], {}, 8, 1),
        ([(2, 4), (2, 4)], {}, 4, 1),  # a CPU each
        ([(16, 8)], {"tasks": 1}, 1, 1),
        ([(16, 2)], {"gpus": 0.5}, 2, 0.5),  # one a GPU: two on one are not faster
        ([(16, 2)], {"gpus": 0.5, "tasks": 4}, 4, 0.5),
        ([(16, 2)], {"gpus": 2}, 1, 2),
        ([(16, 8)], {"device": "cpu"}, 1, 0),
    ],
)
def test_as_many_tasks_as_gpus(
    nodes: list[tuple[float, float]], own: dict[str, object], count: int, gpus: float
) -> None:
    cluster = Cluster(
        address="", nodes=len(nodes), each=tuple(nodes),
        cpus=sum(cpus for cpus, _ in nodes), gpus=sum(gpus for _, gpus in nodes),
    )  # fmt: skip
    with disable_run_logger():
        assert tasks_of(settings(**own), cluster) == Tasks(count=count, gpus_each=gpus)


def test_in_a_cluster_that_grows_as_many_as_were_asked_for() -> None:
    cluster = Cluster(address="", cpus=4, gpus=1, nodes=1, local=False)
    asked = tasks_of(settings(tasks=8), cluster)
    assert (asked.count, asked.spare, asked.n_parts) == (1, 7, 8 * PARTS_PER_TASK)
    assert (asked.pool().count, asked.pool().spare) == (8, 7)
    one = tasks_of(settings(), cluster)
    assert (one.count, one.apart) == (1, False)
    two = tasks_of(settings(), replace(cluster, gpus=2, each=((4, 1), (4, 1))))
    assert (two.count, two.spare) == (2, SPARE)  # of a cluster that has GPUs others may join


def test_more_parts_than_workers() -> None:
    assert Tasks(count=8, gpus_each=1).n_parts == 8 * PARTS_PER_TASK


@pytest.mark.parametrize("tasks", [0, -1])
def test_no_task_at_all_is_an_error(tasks: int) -> None:
    with pytest.raises(ValueError, match="tasks"):
        settings(tasks=tasks)
