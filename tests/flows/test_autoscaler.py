"""Nodes that are not there yet: waited for, said, and given up at a limit."""

import ast
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from flows.autoscaler import Room
from flows.drawing import tasks_on
from flows.extraction import with_room
from flows.params import CacheParams, ComputeParams, EvaluateSettings, RebuildParams, TrainParams
from flows.ray_cluster import Cluster
from flows.ray_session import ray_session
from flows.train import placed
from hcp.evaluation.results import EvaluationConfig
from hcp.training.config import Workers
from priors.config import PoolConfig
from storage.errors import ClusterError
from tests.ray_nodes import cluster_of_nodes, late_node

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (Room(count=2, cpus=0.9, gpus=0), "2 workers of 0.9 CPUs"),
        (Room(count=1, cpus=4, gpus=0.5), "1 workers of 4 CPUs and 0.5 GPUs"),
    ],
)
def test_a_room_says_what_it_is(room: Room, said: str) -> None:
    assert str(room) == said


WAITS = {"with_room", "placed", "first_room", "tasks_on"}
WORKS = {"run_units", "run_remote", "finishing", "draw_apart", "draw_base", "run_all"}


def calls(function: ast.AST) -> set[str]:
    found = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {func.id for func in found if isinstance(func, ast.Name)}


def test_whatever_opens_a_session_to_work_in_it_waits_for_room() -> None:
    waiting: list[str] = []
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "flows").glob("*.py"))]
    functions = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
    for function in functions:
        called = calls(function)
        if "ray_session" in called and called & WORKS:
            assert called & WAITS, function.name
            waiting.append(function.name)
    assert set(waiting) == {
        "run_extractors", "encode_shards", "fit_layers", "compare", "ablate_hcp"
    }  # fmt: skip


TRAIN = TrainParams(
    dataset="d", base="embedded", out="out", nodes_wait_s=0.5, workers=Workers(count=2, cpus_each=1)
)
EVALUATE = EvaluateSettings(
    base="embedded", out="out", nodes_wait_s=0.5, evaluation=EvaluationConfig(prompts=("a man",))
)
REBUILD = RebuildParams(source="s", root="r", nodes_wait_s=0.5)
CACHE = CacheParams(dataset="d", base="embedded", nodes_wait_s=0.5)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_flow_takes_what_is_there_at_the_start_for_all_there_will_be() -> None:
    said: list[str] = []

    def pool(workers: PoolConfig, params: ComputeParams) -> Cluster:
        return with_room(here, workers, params, say=said.append)

    with cluster_of_nodes() as nodes, ray_session(nodes.address) as here, disable_run_logger():
        assert here.cpus == 0
        for ask, room in (
            (lambda: pool(REBUILD.workers, REBUILD), "1 workers of 1 CPUs"),
            (lambda: pool(CACHE.workers, CACHE), "1 workers of 1 CPUs"),
            (lambda: placed(TRAIN, here), "2 workers of 1 CPUs"),
            (lambda: tasks_on(EVALUATE, here), "1 workers of 1 CPUs"),
            (lambda: pool(PoolConfig(gpus_each=0.5), REBUILD), "1 CPUs and 0.5 GPUs"),
        ):
            with pytest.raises(ClusterError, match=rf"{room} do not fit: .*nodes_wait_s"):
                ask()
        with pytest.raises(ClusterError, match=r"1 GPUs do not fit: .* nvidia-smi .* device: cpu"):
            placed(TRAIN.model_copy(update={"device": "cuda"}), here)
        assert "device: cuda, which waits for them" in said[0]
        gpu = {"device": "cuda", "nodes_wait_s": 200}
        with late_node(nodes.address, after_s=2, cpus=2, gpus=2):
            # Nobody said GPU, and there was none when it was asked for: what came is what counts.
            assert placed(TRAIN.model_copy(update={"nodes_wait_s": 200}), here).gpus_each == 1
            grown = with_room(here, PoolConfig(), REBUILD.model_copy(update=gpu), say=said.append)
            assert (grown.cpus, grown.gpus) == (2, 2)
            assert grown.gpus_each(None) == 1
            two = tasks_on(EVALUATE.model_copy(update=gpu), here)
            assert (two.count, two.gpus_each) == (2, 1)
