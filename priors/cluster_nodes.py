"""The machines of a Ray cluster, as a pool follows them: those that live, those that will go."""

import logging
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import ray

logger = logging.getLogger(__name__)


def living_nodes() -> set[str]:
    """Their ids."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def draining_nodes() -> Mapping[str, float | None]:
    """Machines that are being taken back, and in how many seconds; None where nobody says when.

    Spot machines are announced so, pods that are to end (``ray start --block`` tells the cluster of
    its SIGTERM), and idle machines that an autoscaler ends. Ray places nothing on them any more.
    Ray Train asks for them in the same way: there is no public call.
    """
    state: Any = import_module("ray._private.state").state
    try:
        found: Mapping[str, int] = state.get_draining_nodes()
    except Exception:  # a head that is busy or away: it is asked again
        logger.debug("no answer about draining nodes", exc_info=True)
        return {}
    now = time.time()
    return {node: at / 1000 - now if at else None for node, at in found.items()}
