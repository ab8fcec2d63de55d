"""One Ray connection per flow run, and single functions run as Ray tasks."""

import logging
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from flows.gpu_here import asked_gpu_missing, warn_of_missing_gpu
from flows.links import show_dashboard
from flows.machine import Machine, this_machine
from flows.ray_inside import end, end_at_once, ends_with_us, leave_uv_alone
from flows.run_log import collected, inside_session, sink_name
from flows.suspension import raise_if_suspended
from flows.worker_logs import NAMESPACE, runtime_env
from storage.errors import ClusterError
from storage.extras import explained_imports

if TYPE_CHECKING:
    from flows.autoscaler import Room

logger = logging.getLogger(__name__)

_ROUNDING = 1e-6  # 0.3 GPUs are a third of 0.9
NODES_WAIT_S = 900.0  # for nodes that a cluster does not have yet
_POLL_S = 0.25  # a signal is seen between two polls

T = TypeVar("T")

GIB = 2**30
_STORE_BYTES, _LEAST_STORE_BYTES = 2 * GIB, 100 * 2**20
TASK_CPUS = 1.0  # of a task of ``run_remote``
TASK_RETRIES = 2  # of a task whose worker died, where the task changes nothing outside
_RUNNING: list[Any] = []
_WAITING: list[threading.Event] = []
_IS_LOCAL = [True]  # the open session


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

        def now() -> Cluster:
            return _cluster(local=False)

        cluster = self
        if gpus is None and device == "auto" and not self.gpus and not self.local:
            gpu_comes(cpus, there=lambda: bool(now().gpus), limit_s=limit_s, say=say)
            cluster = now()
        room = Room(count=count, cpus=cpus, gpus=cluster.gpus_each(gpus, device=device))
        if not self.local:
            wait_for_room(room, lacking=lambda: now()._lacking(room), limit_s=limit_s, say=say)
            return now()
        if has := self._lacking(room):
            why = asked_gpu_missing() if room.gpus and not self.gpus else ""
            raise ClusterError(
                f"{room} never fit: this machine offers {has}; ask for fewer or smaller workers "
                f"(workers.*, gpus), or give a larger cluster (ray_address){why}"
            )
        return self

    def _lacking(self, room: "Room") -> str | None:
        """What there is, where the room is larger."""
        if self._workers(room.cpus, room.gpus) >= room.count:
            return None
        return f"{self.nodes} nodes with {self.cpus:g} CPUs and {self.gpus:g} GPUs in all"


@contextmanager
def ray_session(address: str | None = None) -> Generator[Cluster]:
    """Connect to Ray once: ``address``, else ``RAY_ADDRESS``, else a local Ray that ends with us.

    Inside an open session this is a no-op, so that a flow and its subflows share one connection.
    ``ray.init`` would replace the SIGTERM handler, and turn Prefect's *Cancelled* into *Crashed*.

    Raises:
        ConnectionError: a given address does not answer.
    """
    with explained_imports():
        leave_uv_alone()
        import ray

    if ray.is_initialized():
        with inside_session():
            yield _cluster(local=_IS_LOCAL[0])
        return
    target = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"address": target, "log_to_driver": False, "namespace": NAMESPACE}
    options["runtime_env"] = runtime_env(sink := sink_name())
    if target == "local":
        options |= {"include_dashboard": False} | local_resources(this_machine())
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _IS_LOCAL[0] = target == "local"
    try:
        with ends_with_us():
            context: Any = ray.init(**options)
        if _IS_LOCAL[0]:
            end_at_once(context.address_info["session_dir"])
        cluster = _cluster(local=_IS_LOCAL[0])
        logger.info("ray: %s", cluster)
        if cluster.local and not cluster.gpus:
            warn_of_missing_gpu()
        with collected(ray, sink):
            show_dashboard(context, ray.get_runtime_context().get_job_id())
            yield cluster
    finally:
        end(ours=_IS_LOCAL[0])  # also where a signal came in the middle of the start


def local_resources(machine: Machine) -> dict[str, int]:
    """What a local Ray may hand out: what this process may use, not what the machine has.

    Hardly anything of ours goes through Ray's object store, which takes a third of the memory else.
    """
    store = max(_LEAST_STORE_BYTES, min(_STORE_BYTES, int(0.3 * machine.free_bytes)))
    return {
        "num_cpus": max(1, int(machine.cpus)),
        "object_store_memory": store,
        "_memory": max(_LEAST_STORE_BYTES, machine.free_bytes - store),
    }


def run_remote(
    function: Callable[..., T], *args: object, num_gpus: float = 0, retries: int = 0
) -> T:
    """Run one function as one Ray task and return what it returns; its exception is raised here.

    Where its worker dies it is run again, ``retries`` times, on another one.

    Raises:
        Pause: the flow run was paused; the task has ended.
    """
    import ray

    from priors.waiting import any_ready

    options: dict[str, Any] = {"num_cpus": TASK_CPUS, "num_gpus": num_gpus, "max_retries": retries}
    remote: Any = ray.remote(**options)(function)
    reference = remote.remote(*args)
    _RUNNING.append(reference)
    try:
        while not any_ready([reference], timeout_s=_POLL_S):
            raise_if_suspended()
        result: T = ray.get(reference)
    except BaseException:
        ray.cancel(reference, force=True)  # a signal, Ctrl-C: in a session that others go on with
        raise
    finally:
        _RUNNING.remove(reference)
    return result


def cancel_remote() -> None:
    """End what other threads wait for in ``run_remote`` and ``cancellable``; it raises there."""
    for cancelled in tuple(_WAITING):
        cancelled.set()
    if not _RUNNING:
        return
    import ray

    for reference in tuple(_RUNNING):
        ray.cancel(reference, force=True)


@contextmanager
def cancellable() -> Generator[Callable[[], None]]:
    """A function that raises where the block is to end, to be called while it waits for Ray.

    It raises ``Pause`` once the flow run was paused, and Ray's ``TaskCancelledError`` once another
    thread called ``cancel_remote``.
    """
    from ray.exceptions import TaskCancelledError

    cancelled = threading.Event()

    def check() -> None:
        raise_if_suspended()
        if cancelled.is_set():
            raise TaskCancelledError

    _WAITING.append(cancelled)
    try:
        yield check
    finally:
        _WAITING.remove(cancelled)


def _cluster(*, local: bool) -> Cluster:
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
