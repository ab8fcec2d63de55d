"""What a cluster offers, and what it can never hold."""

from typing import Any

import pytest

from flows.ray_cluster import Cluster
from storage.errors import ClusterError


@pytest.mark.parametrize(
    ("gpus", "asked", "expected"), [(0, None, 0), (4, None, 1), (4, 0.25, 0.25), (4, 0, 0)]
)
def test_a_worker_takes_a_whole_gpu_unless_told(
    gpus: float, asked: float | None, expected: float
) -> None:
    cluster = Cluster(address="", cpus=8, gpus=gpus, nodes=1)
    assert cluster.gpus_each(asked) == expected
    assert cluster.gpus_each(asked, device="cpu") == 0


def test_a_device_that_is_asked_for_is_asked_of_the_cluster() -> None:
    assert Cluster(address="", cpus=8, gpus=0, nodes=1).gpus_each(None, device="cuda") == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"count": 9}, "9 workers of 1 CPUs never fit: this machine offers 1 nodes with 2 CPUs"),
        ({"cpus": 4}, "1 workers of 4 CPUs never fit"),
        ({"device": "cuda"}, "1 CPUs and 1 GPUs never fit"),
        ({"gpus": 0.5}, "1 CPUs and 0.5 GPUs never fit"),
    ],
)
def test_what_a_local_ray_never_holds_is_said_at_once(asked: dict[str, Any], said: str) -> None:
    here = Cluster(address="", cpus=2, gpus=0, nodes=1)
    with pytest.raises(ClusterError, match=said):
        here.wait_for(**asked)


def test_in_a_container_without_a_gpu_it_says_how_to_give_it_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HCP_IMAGE_VARIANT", "cuda")
    here = Cluster(address="", cpus=2, gpus=0, nodes=1)
    for asked in ({"device": "cuda"}, {"gpus": 1.0}):
        with pytest.raises(ClusterError, match=r"never fit: .*; this container.* --gpus all"):
            here.wait_for(**asked)
    assert here.wait_for(device="auto") is here


def test_what_fits_into_a_local_ray_is_not_waited_for() -> None:
    here = Cluster(address="", cpus=2, gpus=0, nodes=1)
    assert here.wait_for(2, cpus=1) is here
