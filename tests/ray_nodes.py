"""Machines of a Ray cluster as processes of this one: a head without CPUs, and nodes that join."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@contextmanager
def cluster_of_nodes(*, cpus: float = 0, dashboard: int | None = None) -> Generator[Any]:
    """A head of so many CPUs; ``add_node`` of what is given adds others, in the main thread.

    Args:
        cpus: of the head.
        dashboard: the port of Ray's pages; None: it has none.
    """
    import ray
    from ray.cluster_utils import Cluster

    pages = {} if dashboard is None else {"include_dashboard": True, "dashboard_port": dashboard}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, **pages})
    try:
        yield cluster
    finally:
        if ray.is_initialized():  # a test that failed: else the cluster could not be ended
            ray.shutdown()
        cluster.shutdown()


def drain_node(address: str, node: str, *, seconds: float) -> None:
    """Say that a node will be taken back, as a cloud's notice for a spot machine does."""
    messages: Any = import_module("ray.core.generated.autoscaler_pb2")
    client: Any = import_module("ray._raylet").GcsClient(address=address)
    reason = messages.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int((time.time() + seconds) * 1000)
    accepted, why = client.drain_node(node, reason, "spot", deadline_ms)
    assert accepted, why


@contextmanager
def late_node(
    address: str, *, after_s: float, cpus: int = 1, gpus: int = 0, folder: Path | None = None
) -> Generator[None]:
    """A node that joins so many seconds from now, started in that folder, until the block ends."""
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={address}", "--block",
        f"--num-cpus={cpus}", f"--num-gpus={gpus}", "--object-store-memory=100000000",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        ["bash", "-c", f'sleep {after_s}; until "$@"; do sleep 2; done', "-", *command],
        cwd=folder, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
