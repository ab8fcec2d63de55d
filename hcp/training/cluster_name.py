"""Which cluster a training's actors belong to, told to Ray Train's own helpers."""

import os
import threading
from collections.abc import Generator
from contextlib import contextmanager

import ray
from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE

_ADDRESS = "RAY_ADDRESS"


class _Naming:
    """How many trainings of this process need the cluster's name; what stood there before."""

    def __init__(self) -> None:
        self._lock, self._trainings = threading.Lock(), 0
        self._before: str | None = None

    def begin(self) -> None:
        with self._lock:
            self._trainings += 1
            if self._trainings == 1:
                self._before = os.environ.get(_ADDRESS)
                os.environ[_ADDRESS] = ray.get_runtime_context().gcs_address
                ENV_VARS_TO_PROPAGATE.add(_ADDRESS)

    def end(self) -> None:
        with self._lock:
            self._trainings -= 1
            if self._trainings:
                return
            ENV_VARS_TO_PROPAGATE.discard(_ADDRESS)
            if self._before is None:
                del os.environ[_ADDRESS]
            else:
                os.environ[_ADDRESS] = self._before


_NAMING = _Naming()


@contextmanager
def cluster_named() -> Generator[None]:
    """Tell the actors of a training which cluster is theirs.

    Ray Train's own watchman asks "the" cluster of the machine whether its controller lives. Beside
    another one (``ray start``) that may be the wrong one, which knows of none, and the watchman
    then ends a healthy training. Of trainings in several threads the last one takes it back.
    """
    _NAMING.begin()
    try:
        yield
    finally:
        _NAMING.end()
