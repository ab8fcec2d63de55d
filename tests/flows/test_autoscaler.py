"""Nodes that are not there yet: waited for, said, and given up at a limit."""

from typing import Any

import pytest

from flows.autoscaler import Room
from flows.ray_cluster import Cluster
from flows.ray_session import ray_session
from storage.errors import ClusterError
from tests.ray_nodes import cluster_of_nodes, late_node


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (Room(count=2, cpus=0.9, gpus=0), "2 workers of 0.9 CPUs"),
        (Room(count=1, cpus=4, gpus=0.5), "1 workers of 4 CPUs and 0.5 GPUs"),
    ],
)
def test_a_room_says_what_it_is(room: Room, said: str) -> None:
    assert str(room) == said


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


def test_what_fits_into_a_local_ray_is_not_waited_for() -> None:
    here = Cluster(address="", cpus=2, gpus=0, nodes=1)
    assert here.wait_for(2, cpus=1) is here


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_is_waited_for_until_it_has_room() -> None:
    said: list[str] = []
    with cluster_of_nodes() as nodes, ray_session(nodes.address) as here:
        with pytest.raises(ClusterError, match=r"after 1 s the Ray cluster has .*nodes_wait_s"):
            here.wait_for(2, cpus=1, limit_s=1)
        with late_node(nodes.address, after_s=16, cpus=2):
            grown = here.wait_for(2, cpus=1, limit_s=200, say=said.append)
            assert (here.cpus, grown.cpus) == (0, 2)
            assert said[0].startswith("waiting for 2 workers of 1 CPUs: the Ray cluster has 1 node")
            assert grown.room_for(1, cpus=1) == 2
            assert grown.wait_for(1, gpus=None, limit_s=5).gpus == 0  # no autoscaler to be asked
