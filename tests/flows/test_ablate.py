"""An ablation's flow before and after its trainings; test_pipeline runs a whole one."""

import pickle
from pathlib import Path

import pytest

from flows.ablate import (
    AblationError,
    ablate_hcp,
    markdown_table,
    one_address,
    room_for,
    shared,
)
from flows.outcomes import AblateOutcome
from flows.params import AblateParams, EvaluateSettings, TrainParams
from flows.ray_cluster import Cluster
from hcp.training.config import Workers
from storage.errors import ClusterError, HcpError

TRAIN = TrainParams(dataset="nowhere", base="embedded", out="out")
EVALUATE = EvaluateSettings(base="embedded", out="out")


def params(**own: object) -> AblateParams:
    return AblateParams.model_validate({"train": TRAIN, "evaluate": EVALUATE, **own})


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"variants": ("default", "nonsense")}, r"\['nonsense'\]; there are: default, no-alignm"),
        ({"questions": ("why",)}, r"unknown questions \['why'\]; there are: loss"),
        ({"own": {"mine": {"hcp.widht": 4}}}, "variant 'mine': training.hcp.widht: there is no"),
        ({"own": {"mine": {"hcp.width": 0}}}, "variant 'mine': .*width must be >= 1"),
    ],
)
def test_what_is_wrong_is_told_before_any_work(own: dict[str, object], said: str) -> None:
    with pytest.raises(HcpError, match=said):
        ablate_hcp.fn(params(**own))  # hence without Ray, Prefect and a dataset


@pytest.mark.parametrize(
    ("nodes", "workers", "device", "expected"),
    [
        ([(2, 0)], Workers(), "auto", 2),  # 0.9 CPUs each
        ([(1, 0)], Workers(), "auto", 1),
        ([(8, 0)], Workers(cpus_each=3), "auto", 2),
        ([(4, 0), (4, 0)], Workers(cpus_each=3), "auto", 2),  # a worker is on one node
        ([(16, 4)], Workers(), "auto", 4),  # a GPU each
        ([(16, 4)], Workers(count=2), "auto", 2),
        ([(16, 4), (16, 4)], Workers(count=8), "auto", 1),
        ([(16, 4)], Workers(gpus_each=0.5), "auto", 4),  # an evaluation takes a whole one
        ([(3, 4)], Workers(), "cpu", 3),
        ([(2, 0)], Workers(count=9), "auto", 1),  # never fits: the training says so itself
    ],
)
def test_as_many_run_at_a_time_as_the_cluster_has_room_for(
    nodes: list[tuple[float, float]], workers: Workers, device: str, expected: int
) -> None:
    cluster = Cluster(
        address="", nodes=len(nodes), each=tuple(nodes),
        cpus=sum(cpus for cpus, _ in nodes), gpus=sum(gpus for _, gpus in nodes),
    )  # fmt: skip
    train = TRAIN.model_copy(update={"workers": workers, "device": device})
    evaluate = EVALUATE.model_copy(update={"device": device})
    assert room_for(cluster, train, evaluate) == expected


@pytest.mark.parametrize(
    ("gpus", "at_a_time", "own", "tasks"),
    [
        (8, 8, {}, 1), (8, 2, {}, 4), (8, 3, {}, 2), (8, 1, {}, 8), (2, 4, {}, 1), (0, 2, {}, 1),
        (8, 8, {"tasks": 3}, 3), (8, 2, {"device": "cpu"}, 1),
    ],
)  # fmt: skip
def test_evaluations_at_a_time_share_the_gpus(
    gpus: float, at_a_time: int, own: dict[str, object], tasks: int
) -> None:
    cluster = Cluster(address="", cpus=32, gpus=gpus, nodes=1)
    assert shared(EVALUATE.model_copy(update=own), cluster, at_a_time).tasks == tasks


@pytest.mark.parametrize(
    ("train", "evaluate", "used"),
    [(None, None, None), ("a", None, "a"), (None, "b", "b"), ("a", "a", "a")],
)
def test_an_ablation_works_on_the_cluster_that_is_named(
    train: str | None, evaluate: str | None, used: str | None
) -> None:
    trains = TRAIN.model_copy(update={"ray_address": train})
    assert one_address(trains, EVALUATE.model_copy(update={"ray_address": evaluate})) == used


def test_an_ablation_on_two_clusters_is_refused() -> None:
    trains = TRAIN.model_copy(update={"ray_address": "a:1"})
    with pytest.raises(ClusterError, match=r"train.ray_address a:1 and .* b:2 .* both the same"):
        one_address(trains, EVALUATE.model_copy(update={"ray_address": "b:2"}))


def test_rows_become_a_markdown_table() -> None:
    rows = [{"variant": "a", "KID": 1.5}, {"variant": "b|c"}]
    assert markdown_table(rows) == "| variant | KID |\n| --- | --- |\n| a | 1.5 |\n| b\\|c |  |\n"


def test_the_error_keeps_the_outcome_on_its_way_between_processes() -> None:
    outcome = AblateOutcome(
        variants=(), failed={"a": "b"}, same=(), tables={}, learnt="", report=""
    )
    error = pickle.loads(pickle.dumps(AblationError("1 failed", outcome)))
    assert (str(error), error.outcome) == ("1 failed", outcome)


def test_own_variants_are_settings_of_a_file(tmp_path: Path) -> None:
    from flows.cli.settings import Given, load_params

    file = tmp_path / "ablate.yaml"
    file.write_text(
        "train: {dataset: data, base: embedded, out: runs}\n"
        "evaluate: {base: embedded, out: runs}\n"
        "own: {narrow: {hcp.width: 64, hcp.alignment.distance: centred_cosine}}\n"
        "seeds: [0, 1, 2]\n"
    )
    loaded = load_params(
        AblateParams, Given(options={"questions": ["gate"]}, file=file, assignments=["parallel=2"])
    )
    assert loaded.own == {"narrow": {"hcp.width": 64, "hcp.alignment.distance": "centred_cosine"}}
    assert (loaded.seeds, loaded.questions, loaded.parallel) == ((0, 1, 2), ("gate",), 2)
