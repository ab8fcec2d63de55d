"""One Ray connection per flow run, and single functions run as Ray tasks."""

import logging
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

from flows.gpu_here import warn_in_run, warn_of_missing_gpu
from flows.links import show_dashboard
from flows.machine import Machine, this_machine
from flows.ray_cluster import GIB, TASK_CPUS, Cluster, cluster_now
from flows.ray_inside import end, end_at_once, ends_with_us, leave_uv_alone
from flows.run_log import collected, inside_session, sink_name
from flows.suspension import raise_if_suspended
from flows.worker_logs import NAMESPACE, runtime_env
from storage.extras import explained_imports

logger = logging.getLogger(__name__)

_POLL_S = 0.25  # a signal is seen between two polls

T = TypeVar("T")

_STORE_BYTES, _LEAST_STORE_BYTES = 2 * GIB, 100 * 2**20
TASK_RETRIES = 2  # of a task whose worker died, where the task changes nothing outside
_RUNNING: list[Any] = []
_WAITING: list[threading.Event] = []
_LOCAL = "local"
_TARGET = [_LOCAL]  # of the open session


@contextmanager
def ray_session(address: str | None = None) -> Generator[Cluster]:
    """Connect to Ray once: ``address``, else ``RAY_ADDRESS``, else a local Ray that ends with us.

    Inside an open session this is a no-op, so that a flow and its subflows share one connection;
    another address is warned of.
    ``ray.init`` would replace the SIGTERM handler, and turn Prefect's *Cancelled* into *Crashed*.

    Raises:
        ConnectionError: a given address does not answer.
    """
    with explained_imports():
        leave_uv_alone()
        import ray

    if ray.is_initialized():
        with inside_session():
            cluster = cluster_now(local=_TARGET[0] == _LOCAL)
            _warn_of_another(address, cluster.address)
            yield cluster
        return
    target = address or os.environ.get("RAY_ADDRESS") or _LOCAL
    options: dict[str, Any] = {"address": target, "log_to_driver": False, "namespace": NAMESPACE}
    options["runtime_env"] = runtime_env(sink := sink_name())
    if target == _LOCAL:
        options |= {"include_dashboard": False} | local_resources(this_machine())
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _TARGET[0] = target
    try:
        with ends_with_us():
            context: Any = ray.init(**options)
        if target == _LOCAL:
            end_at_once(context.address_info["session_dir"])
        cluster = cluster_now(local=target == _LOCAL)
        logger.info("ray: %s", cluster)
        if cluster.local and not cluster.gpus:
            warn_of_missing_gpu()
        with collected(ray, sink):
            show_dashboard(context, ray.get_runtime_context().get_job_id())
            yield cluster
    finally:
        end(ours=target == _LOCAL)  # also where a signal came in the middle of the start


def _warn_of_another(address: str | None, here: str) -> None:
    if address is not None and address not in (_TARGET[0], here):
        warn_in_run(
            f"ray_address {address} is not used: this run works on {_TARGET[0]} ({here}) already; "
            "give all its parts one ray_address, or start them as runs of their own"
        )


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
