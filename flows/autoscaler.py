"""Nodes that a Ray cluster does not have yet: asked for, waited for, seen coming."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from flows.suspension import raise_if_suspended
from storage.errors import ClusterError

_REPORT = b"__autoscaling_status"  # of the first autoscaler, as JSON; the second has an own call
_ASKED_S = 15.0  # until an autoscaler shows that it starts nodes; it looks every five
_SAY_EVERY_S = 15.0
_POLL_S = 0.5
_ON_GPUS = (
    ". A node shows Ray the GPUs that nvidia-smi lists there: a container needs --gpus all, a pod "
    "nvidia.com/gpu; to compute on CPUs say device: cpu"
)
_NO_GPU = (
    "the Ray cluster has no GPU and starts none: it is CPUs; where GPU nodes are still coming say "
    "device: cuda, which waits for them (nodes_wait_s)"
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """So many workers of one size, all at a time."""

    count: int
    cpus: float
    gpus: float

    def __str__(self) -> str:
        gpus = f" and {self.gpus:g} GPUs" if self.gpus else ""
        return f"{self.count} workers of {self.cpus:g} CPUs{gpus}"


def wait_for_room(
    room: Room, *, lacking: Callable[[], str | None], limit_s: float, say: Say
) -> None:
    """Ask for the room, and wait until it is there and free.

    Args:
        lacking: what the cluster has where that is too little; None where it only is busy.
        limit_s: of the time in which it has too little.
        say: takes a sentence on the wait.
    Raises:
        ClusterError: it still had too little at the limit.
    """
    begun = said = time.monotonic()
    lacked_s = 0.0
    with _asked_for(room) as group:
        while not group.wait(0.1):
            time.sleep(_POLL_S)
            raise_if_suspended()
            now, has = time.monotonic(), lacking()
            lacked_s = lacked_s + _POLL_S if has else 0.0
            if has and lacked_s >= limit_s:
                raise ClusterError(
                    f"{room} do not fit: after {limit_s:.0f} s the Ray cluster has {has}; add "
                    "nodes, ask for fewer or smaller workers (workers.*, gpus), or wait longer "
                    f"(nodes_wait_s){_ON_GPUS if room.gpus else ''}"
                )
            if now - said >= _SAY_EVERY_S:
                said = now
                why = f"the Ray cluster has {has}" if has else "the Ray cluster is busy"
                limit = f" of at most {limit_s:.0f} s" if has else ""
                say(f"waiting for {room}: {why}; {now - begun:.0f} s{limit}")


def gpu_comes(cpus: float, *, there: Callable[[], bool], limit_s: float, say: Say) -> bool:
    """Ask an autoscaler for a GPU, and wait for it where it starts nodes; False where it does not.

    Args:
        cpus: that are wanted beside it.
        there: whether the cluster has a GPU by now.
        limit_s: of the wait for a node that is started.
        say: takes a sentence on the wait.
    """
    if not _has_autoscaler():
        say(_NO_GPU)
        return False
    begun = said = time.monotonic()
    coming = False
    with _asked_for(Room(count=1, cpus=cpus, gpus=1)):
        while not there():
            time.sleep(_POLL_S)
            raise_if_suspended()
            coming = coming or _nodes_are_coming()
            now = time.monotonic()
            if now - begun >= (limit_s if coming else min(_ASKED_S, limit_s)):
                say(_NO_GPU)
                return False
            if coming and now - said >= _SAY_EVERY_S:
                said = now
                say(f"waiting for a GPU node: {now - begun:.0f} of at most {limit_s:.0f} s")
    return True


@contextmanager
def _asked_for(room: Room) -> Generator[PlacementGroup]:
    """A demand, for which an autoscaler starts nodes; what is to run there takes its own place."""
    bundle = {name: n for name, n in (("CPU", room.cpus), ("GPU", room.gpus)) if n}
    group = placement_group([bundle] * room.count)
    try:
        yield group
    finally:
        remove_placement_group(group)


def _has_autoscaler() -> bool:
    report, status = _report(), _status()
    watched = any(str(name).startswith("node_") for name in report.get("active_nodes") or {})
    return bool(report and not watched) or status.stats.autoscaler_version not in (None, "0")


def _nodes_are_coming() -> bool:
    report, status = _report(), _status()
    found = report.get("pending_launches") or report.get("pending_nodes")
    return bool(found or status.pending_launches or status.pending_nodes)


def _report() -> dict[str, Any]:
    store: Any = import_module("ray.experimental.internal_kv")
    said = store._internal_kv_get(_REPORT)
    return json.loads(said).get("autoscaler_report") or {} if said else {}


def _status() -> Any:
    sdk: Any = import_module("ray.autoscaler.v2.sdk")
    return sdk.get_cluster_status(ray.get_runtime_context().gcs_address)
