"""How many workers of a pool the nodes have room for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from priors.config import PoolConfig

GIB = 2**30
_ROUNDING = 1e-6  # 0.3 GPUs are a third of 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What one machine of a cluster offers; ``memory_gib`` is Ray's resource of that name."""

    cpus: float
    gpus: float = 0.0
    memory_gib: float = inf


def nodes_of(infos: Iterable[Mapping[str, object]]) -> tuple[Node, ...]:
    """The living ones of ``ray.nodes()``."""
    found: list[Node] = []
    for info in infos:
        resources = info.get("Resources")
        if info.get("Alive") and isinstance(resources, Mapping):
            memory = resources.get("memory")
            found.append(
                Node(
                    cpus=float(resources.get("CPU", 0.0)),
                    gpus=float(resources.get("GPU", 0.0)),
                    memory_gib=inf if memory is None else float(memory) / GIB,
                )
            )
    return tuple(found)


def fitted(config: PoolConfig, nodes: Sequence[Node]) -> tuple[PoolConfig, tuple[str, ...]]:
    """The pool as these nodes can hold it, and what a person should know of it.

    ``count`` is the number of workers, 1 at least. Where one machine's memory holds fewer workers
    than its CPUs would, each of them gets more CPUs. Where it holds none, one is started all the
    same: an estimate may err.
    """
    by_cores = _count(replace(config, memory_gib_each=0.0), nodes)
    count, notes = _count(config, nodes), list[str]()
    memory = config.memory_gib_each or 0.0
    most = max((node.memory_gib for node in nodes), default=0.0)
    if not count and by_cores:
        notes.append(
            f"one worker needs about {memory:.1f} GiB of memory, and the largest machine offers "
            f"{most:.1f}: it is started all the same and may be killed; use smaller models (such "
            "as mobile_sam), smaller batches, or correct the estimate (workers.memory_gib_each)"
        )
        config = replace(config, memory_gib_each=0.0)
    elif count < by_cores:
        if len(nodes) == 1 and not config.gpus_each:
            free = nodes[0].cpus - config.decode_cpus
            config = replace(config, cpus_each=max(config.cpus_each, float(free // count)))
        notes.append(
            f"{count} workers of about {memory:.1f} GiB each fit into memory, {by_cores} would by "
            f"CPUs and GPUs; each gets {config.cpus_each:g} CPUs (workers.memory_gib_each)"
        )
    return replace(config, count=max(1, count)), tuple(notes)


def _count(config: PoolConfig, nodes: Sequence[Node]) -> int:
    count = sum(_on(node, config) for node in nodes)
    cpus = sum(node.cpus for node in nodes) - config.decode_cpus
    count = min(count, int(max(cpus, 0.0) / config.cpus_each + _ROUNDING))
    return min(count, config.count) if config.count else count


def _on(node: Node, config: PoolConfig) -> int:
    limits = [node.cpus / config.cpus_each]
    if config.gpus_each:
        limits.append(node.gpus / config.gpus_each)
    if config.memory_gib_each:
        limits.append(node.memory_gib / config.memory_gib_each)
    return int(min(limits) + _ROUNDING)
