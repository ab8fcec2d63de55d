"""A training run's folder: its name, and its steps as JSON lines. Knows nothing of Ray."""

import json
import re
from collections.abc import Callable

from hcp.training.config import TrainConfig
from hcp.training.trainer import StepMetrics
from storage.canonical import digest_of
from storage.locations import exists, filesystem, read_bytes, write_atomic
from storage.versions import DatasetVersion

METRICS_NAME = "metrics.jsonl"
_NOT_IN_NAME = ("steps", "checkpoint_every")  # a longer run continues the shorter one

OnMetrics = Callable[[StepMetrics], None]


def run_name(
    config: TrainConfig, *, dataset: DatasetVersion, base: str, out: str, resume: bool
) -> str:
    """``train-<digest>-<attempt>``: the digest of settings, dataset version and base.

    The number of steps is no part of it, so that a run can be continued to more steps.
    """
    settings = {k: v for k, v in config.to_json().items() if k not in _NOT_IN_NAME}
    digest = digest_of([settings, dataset.id, base], hex_digits=12)
    attempts = [
        int(found.group(1))
        for name in _folders(out)
        if (found := re.fullmatch(rf"train-{digest}-(\d+)", name))
    ]
    last = max(attempts, default=-1)
    return f"train-{digest}-{max(last, 0) if resume else last + 1}"


def read_metrics(uri: str) -> tuple[StepMetrics, ...]:
    """The steps in a metrics file, in order; empty where there is none."""
    if not exists(uri):
        return ()
    return tuple(StepMetrics(**json.loads(line)) for line in read_bytes(uri).splitlines())


class MetricsLog:
    """Steps seen by the driver; a step that was repeated after a restart stands once."""

    def __init__(self, uri: str, on_metrics: OnMetrics | None = None) -> None:
        """Go on from the steps that are in the file already.

        Args:
            uri: the file, local path or URL.
            on_metrics: called with each step that is added.
        """
        self.uri = uri
        self._on_metrics = on_metrics
        self.steps = {metrics.step: metrics for metrics in read_metrics(uri)}
        self._unwritten = 0

    def add(self, metrics: StepMetrics) -> None:
        """Take one step; those at and after it are of an attempt that was given up."""
        for later in [step for step in self.steps if step >= metrics.step]:
            del self.steps[later]
        self.steps[metrics.step] = metrics
        self._unwritten += 1
        if self._on_metrics is not None:
            self._on_metrics(metrics)

    def write(self, *, at_least: int = 1) -> None:
        """Replace the file where ``at_least`` so many steps came since the last time."""
        if self._unwritten < at_least:
            return
        lines = "".join(json.dumps(m.to_json()) + "\n" for m in self.steps.values())
        directory, name = self.uri.rsplit("/", 1)
        write_atomic(directory, name, lines.encode())
        self._unwritten = 0


def _folders(uri: str) -> list[str]:
    fs, path = filesystem(uri)
    if not fs.isdir(path):
        return []
    return [str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)]
