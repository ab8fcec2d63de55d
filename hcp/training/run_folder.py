"""A training run's folder: its name, and its steps as JSON lines. Knows nothing of Ray."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from typing import Any

from hcp.training.config import Mixed, TrainConfig
from hcp.training.metrics import StepMetrics
from storage.canonical import digest_of
from storage.locations import exists, filesystem, is_local, local_path, read_bytes, write_atomic
from storage.versions import DatasetVersion, split_dataset

METRICS_NAME = "metrics.jsonl"
# What every name counts, by class. Fields that came later count where they differ from their
# default, so that names stay; a longer run continues the shorter one.
_COUNTED = {
    "TrainConfig": "batch_size accumulate learning_rate warmup_steps weight_decay max_grad_norm "
    "ema_decay min_snr_gamma precision gradient_checkpointing seed resnet_weights data hcp",
    "DataConfig": "resolution_px aspects flip_probability caption_dropout min_crop_scale "
    "decode_threads",
    "HcpConfig": "width activation gamma gate stages map_scales init_seed alignment",
    "AlignmentConfig": "alpha distance stages priors",
    "StageTable": "down mid up",
    "PriorTable": "person action body",
}
_NOT_COUNTED = (
    "steps", "checkpoint_every", "compile", "validation", "samples", "tensorboard",
)  # fmt: skip
_STORE_REWRITES = 4  # an object is written again when it has grown by a quarter: cost stays linear

OnMetrics = Callable[[StepMetrics], None]


def run_name(
    config: TrainConfig, *, dataset: DatasetVersion, base: str, out: str, resume: bool
) -> str:
    """``train-<digest>-<attempt>``: the digest of settings, dataset version and base.

    The number of steps is no part of it, so that a run can be continued to more steps.
    """
    digest = digest_of([_settings(config.plain()), dataset.id, base], hex_digits=12)
    attempts = [
        int(found.group(1))
        for name in _folders(out)
        if (found := re.fullmatch(rf"train-{digest}-(\d+)", name))
    ]
    last = max(attempts, default=-1)
    return f"train-{digest}-{max(last, 0) if resume else last + 1}"


def read_metrics(uri: str) -> tuple[StepMetrics, ...]:
    """The steps in a metrics file, in order, without a last line that was broken off."""
    if not exists(uri):
        return ()
    lines = read_bytes(uri).split(b"\n")[:-1]
    return tuple(StepMetrics(**json.loads(line)) for line in lines)


class MetricsLog:
    """Steps seen by the driver; a step that was repeated after a restart stands once.

    Lines are appended. After a restart, and on object stores, which cannot append, the file is
    replaced; there only after it has grown by a share, so that all writes together stay linear.
    """

    def __init__(self, uri: str, on_metrics: OnMetrics | None = None) -> None:
        """Go on from the steps in the file ``uri``; each one added goes to ``on_metrics`` too."""
        self.uri = uri
        self._on_metrics = on_metrics
        self.steps = {metrics.step: metrics for metrics in read_metrics(uri)}
        self._lines = [_line(metrics) for metrics in self.steps.values()]
        self._written = 0  # leading steps that are in the file as they are here; 0: replace it

    def add(self, metrics: StepMetrics) -> None:
        """Take one step; those at and after it are of an attempt that was given up."""
        while self.steps and next(reversed(self.steps)) >= metrics.step:
            self.steps.popitem()
            self._lines.pop()
            self._written = 0
        self.steps[metrics.step] = metrics
        self._lines.append(_line(metrics))
        if self._on_metrics is not None:
            self._on_metrics(metrics)

    def write(self, *, at_least: int = 1) -> None:
        """Write where ``at_least`` so many steps came since the last time."""
        append = self._written > 0 and is_local(self.uri)
        if at_least > 1 and not append:
            at_least = max(at_least, self._written // _STORE_REWRITES)
        if len(self._lines) - self._written < at_least:
            return
        data = "".join(self._lines[self._written if append else 0 :]).encode()
        if append:
            with local_path(self.uri).open("ab") as file:
                file.write(data)
        else:
            write_atomic(self.uri, data)
        self._written = len(self._lines)


def _line(metrics: StepMetrics) -> str:
    return json.dumps(asdict(metrics)) + "\n"


def _settings(config: Any) -> dict[str, object]:
    counted, default = _COUNTED.get(type(config).__name__, "").split(), type(config)()
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return {
        name: _value(value)
        for name, value in values.items()
        if name in counted or (name not in _NOT_COUNTED and value != getattr(default, name))
    }


def _value(value: Any) -> Any:
    if isinstance(value, tuple):
        parts: tuple[Any, ...] = value
        return [_value(part) for part in parts]
    if isinstance(value, Mixed):  # by its version alone, as the training's own dataset
        return asdict(value) | {"dataset": split_dataset(value.dataset)[1]}
    return _settings(value) if is_dataclass(value) else value


def _folders(uri: str) -> list[str]:
    fs, path = filesystem(uri)
    if not fs.isdir(path):
        return []
    return [str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)]
