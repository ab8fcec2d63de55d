"""What a Ray cluster offers, and what of it a flow waits for."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from flows.gpu_here import asked_gpu_missing
from storage.errors import ClusterError

if TYPE_CHECKING:
    from flows.autoscaler import Room

logger = logging.getLogger(__name__)

GIB = 2**30
TASK_CPUS = 1.0  # of a task of ``run_remote``
NODES_WAIT_S = 900.0  # for nodes that a cluster does not have yet
_ROUNDING = 1e-6  # 0.3 GPUs are a third of 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a Ray connection offers in total."""

    address: str
    cpus: float
    gpus: float
    nodes: int
    each: tuple[tuple[float, float], ...] = ()  # CPUs and GPUs of each node
    memory_gib: float = inf  # Ray's resource of that name, of the node with CPUs that has most
    local: bool = True  # started by us: no node joins it

    def room_for(self, count: int, *, cpus: float, gpus: float = 0.0) -> int:
        """How many groups of so many workers of this size run at a time; 1 at least.

        A worker is on one node, a group may be on several.
        """
        return max(1, self._workers(cpus, gpus) // count)

    def _workers(self, cpus: float, gpus: float) -> int:
        nodes = self.each or ((self.cpus, self.gpus),)
        return sum(
            int(min(node_cpus / cpus + _ROUNDING, node_gpus / gpus + _ROUNDING if gpus else inf))
            for node_cpus, node_gpus in nodes
        )

    def gpus_each(self, asked: float | None, *, device: str = "auto") -> float:
        """GPUs of one worker: none on ``cpu``, else as asked, else 1 where the cluster has any."""
        if device == "cpu":
            return 0.0
        if asked is not None:
            return asked
        return 1.0 if self.gpus or device == "cuda" else 0.0

    def wait_for(
        self,
        count: int = 1,
        *,
        cpus: float = TASK_CPUS,
        gpus: float | None = None,
        device: str = "auto",
        limit_s: float = NODES_WAIT_S,
        say: Callable[[str], None] = logger.info,
    ) -> "Cluster":
        """The cluster as it is once so many workers of this size have room in it at a time.

        Nodes that are not there are asked for, and waited for; those that are there and busy are
        waited for without limit. Where nobody says whether workers get GPUs (``gpus`` none and
        ``device`` auto), and the cluster has none, an autoscaler is asked for one: what it starts
        is waited for, and without an answer there are none.

        Args:
            count: of workers.
            cpus: of each.
            gpus: of each, as :meth:`gpus_each` takes them.
            device: as :meth:`gpus_each` takes it.
            limit_s: of the wait for nodes, in seconds.
            say: takes a sentence on the wait, every 15 seconds.
        Raises:
            ClusterError: they never fit, or not before the limit.
        """
        from flows.autoscaler import Room, gpu_comes, wait_for_room

        cluster = self
        if gpus is None and device == "auto" and not self.gpus and not self.local:
            gpu_comes(cpus, there=_has_gpu, limit_s=limit_s, say=say)
            cluster = cluster_now(local=False)
        room = Room(count=count, cpus=cpus, gpus=cluster.gpus_each(gpus, device=device))
        while not self.local:
            wait_for_room(room, lacking=partial(_lacking_now, room), limit_s=limit_s, say=say)
            ready = cluster_now(local=False)
            each = ready.gpus_each(gpus, device=device)
            if each == room.gpus:
                return ready
            room = replace(room, gpus=each)  # nodes with GPUs have come, or gone, meanwhile
        if has := self.lacking(room):
            why = asked_gpu_missing() if room.gpus and not self.gpus else ""
            raise ClusterError(
                f"{room} never fit: this machine offers {has}; ask for fewer or smaller workers "
                f"(workers.*, gpus), or give a larger cluster (ray_address){why}"
            )
        return self

    def lacking(self, room: "Room") -> str | None:
        """What there is, where the room is larger."""
        if self._workers(room.cpus, room.gpus) >= room.count:
            return None
        return f"{self.nodes} nodes with {self.cpus:g} CPUs and {self.gpus:g} GPUs in all"


def cluster_now(*, local: bool) -> Cluster:
    """What the open session's cluster has at this moment; ``local``: it was started by us."""
    import ray

    total: Any = ray.cluster_resources()
    nodes: Any = ray.nodes()
    alive: list[dict[str, float]] = [node["Resources"] for node in nodes if node["Alive"]]
    workers = [node for node in alive if node.get("CPU")] or alive  # a head may have none
    return Cluster(
        address=ray.get_runtime_context().gcs_address,
        cpus=total.get("CPU", 0.0),
        gpus=total.get("GPU", 0.0),
        nodes=len(alive),
        each=tuple((node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive),
        memory_gib=max((node.get("memory", inf) / GIB for node in workers), default=inf),
        local=local,
    )


def _has_gpu() -> bool:
    return bool(cluster_now(local=False).gpus)


def _lacking_now(room: "Room") -> str | None:
    return cluster_now(local=False).lacking(room)
