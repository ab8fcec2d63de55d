"""How many workers machines of several sizes hold (D02)."""

import pytest

from priors.config import PoolConfig
from priors.room import Node, fitted, nodes_of

CPU16 = Node(cpus=16, memory_gib=10.0)


def pool(**fields: float) -> PoolConfig:
    return PoolConfig(**fields)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("config", "nodes", "count", "cpus_each"),
    [
        (pool(), [CPU16], 16, 1),
        (pool(memory_gib_each=3.0), [CPU16], 3, 5),  # what the others leave goes to those
        (pool(memory_gib_each=9.0), [CPU16], 1, 16),
        (pool(memory_gib_each=0.5), [CPU16], 16, 1),
        (pool(memory_gib_each=3.0, count=2), [CPU16], 2, 1),
        (pool(memory_gib_each=3.0, count=8), [CPU16], 3, 5),
        (pool(memory_gib_each=3.0, decode_cpus=4), [CPU16], 3, 4),
        (pool(memory_gib_each=6.0), [CPU16, CPU16], 2, 1),
        (pool(memory_gib_each=3.0, gpus_each=0.5), [Node(cpus=8, gpus=1, memory_gib=4)], 1, 1),
        (pool(gpus_each=0.3), [Node(cpus=8, gpus=0.9)], 3, 1),
        (pool(cpus_each=1.0), [Node(cpus=1.5), Node(cpus=1.5)], 2, 1),  # none is on two nodes
        (pool(cpus_each=8.0), [Node(cpus=2)], 1, 8),
        (pool(decode_cpus=8), [Node(cpus=4)], 1, 1),
        (pool(), [], 1, 1),
    ],
)
def test_d02_a_pool_is_as_large_as_memory_cpus_and_gpus_allow(
    config: PoolConfig, nodes: list[Node], count: int, cpus_each: float
) -> None:
    found, notes = fitted(config, nodes)
    assert (found.count, found.cpus_each) == (count, cpus_each)
    asked = config.count or 10**6
    fewer = count < min(asked, sum(int(n.cpus) for n in nodes)) and config.memory_gib_each
    assert bool(notes) == bool(fewer)


def test_d02_one_that_fits_nowhere_is_started_and_said_to_be_in_danger() -> None:
    found, (note,) = fitted(pool(memory_gib_each=29.0), [CPU16, Node(cpus=1, memory_gib=2.0)])
    assert (found.count, found.memory_gib_each) == (1, 0.0)
    assert "29.0 GiB" in note
    assert "10.0" in note
    assert "workers.memory_gib_each" in note


def test_nodes_are_those_that_live() -> None:
    alive = {"Alive": True, "Resources": {"CPU": 4.0, "memory": 2.0 * 2**30}}
    infos = [alive, {**alive, "Alive": False}, {"Alive": True, "Resources": {"GPU": 1.0}}]
    assert nodes_of(infos) == (Node(cpus=4, memory_gib=2.0), Node(cpus=0, gpus=1))
