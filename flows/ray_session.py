"""One Ray connection per flow run, and single functions run as Ray tasks."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from storage.extras import explained_imports

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a Ray connection offers in total."""

    address: str
    cpus: float
    gpus: float
    nodes: int

    def gpus_each(self, asked: float | None, *, device: str = "auto") -> float:
        """GPUs of one worker: none on ``cpu``, else as asked, else 1 where the cluster has any."""
        if device == "cpu":
            return 0.0
        if asked is not None:
            return asked
        return 1.0 if self.gpus or device == "cuda" else 0.0


@contextmanager
def ray_session(address: str | None = None) -> Generator[Cluster]:
    """Connect to Ray once: ``address``, else ``RAY_ADDRESS``, else a local Ray that ends with us.

    Inside an open session this is a no-op, so that a flow and its subflows share one connection.
    ``ray.init`` replaces the SIGTERM handler, which would turn Prefect's *Cancelled* into
    *Crashed*: the handler is put back.

    Raises:
        ConnectionError: a given address does not answer.
    """
    with explained_imports():
        import ray

    if ray.is_initialized():
        yield _cluster(ray)
        return
    target = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"address": target, "log_to_driver": False, "namespace": "hcp"}
    if target == "local":
        options["include_dashboard"] = False
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with _keep_sigterm_handler():
        ray.init(**options)
    try:
        yield _cluster(ray)
    finally:
        ray.shutdown()


def run_remote(function: Callable[..., T], *args: object, num_gpus: float = 0) -> T:
    """Run one function as one Ray task and return what it returns; its exception is raised here."""
    import ray

    remote: Any = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=0)(function)
    result: T = ray.get(remote.remote(*args))
    return result


@contextmanager
def _keep_sigterm_handler() -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers can be read and set in the main thread only, and ray.init leaves them too
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _cluster(ray: Any) -> Cluster:
    total: dict[str, float] = ray.cluster_resources()
    cluster = Cluster(
        address=ray.get_runtime_context().gcs_address,
        cpus=total.get("CPU", 0.0),
        gpus=total.get("GPU", 0.0),
        nodes=sum(1 for node in ray.nodes() if node["Alive"]),
    )
    logger.info("ray: %s", cluster)
    return cluster
