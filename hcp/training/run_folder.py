"""A training run's folder: its name, and its steps as JSON lines. Knows nothing of Ray."""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hcp.training.config import Mixed, TrainConfig
from hcp.training.metrics import StepMetrics, from_json, to_json
from storage.canonical import digest_of
from storage.checkpoints import listed_files
from storage.locations import (
    entries_in,
    exists,
    is_local,
    join,
    local_copy,
    local_path,
    read_bytes,
    staging,
    write_atomic,
)
from storage.versions import DatasetVersion, split_dataset

logger = logging.getLogger(__name__)

METRICS_NAME, SUMMARY_NAME = "metrics.jsonl", "summary.json"
STATE_DIR = "trainer_state"  # of a checkpoint; what else it holds is for use
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
    "steps", "checkpoint_every", "compile", "export_step", "max_skipped_in_row",
    "max_bad_fraction", "validation", "samples", "tensorboard",
)  # fmt: skip
_STORE_REWRITES = 4  # an object is written again when it has grown by a quarter: cost stays linear

OnMetrics = Callable[[StepMetrics], None]
OnNote = Callable[[str], None]
"""A sentence that a person should read."""


def run_name(
    config: TrainConfig, *, dataset: DatasetVersion, base: str, out: str, resume: bool
) -> str:
    """``train-<digest>-<attempt>``: the digest of settings, dataset version and base.

    The number of steps is no part of it, so that a run can be continued to more steps.
    """
    digest = digest_of([_settings(config.plain()), dataset.id, base], hex_digits=12)
    attempts = [
        int(found.group(1))
        for name in entries_in(out)
        if (found := re.fullmatch(rf"train-{digest}-(\d+)", name))
    ]
    last = max(attempts, default=-1)
    return f"train-{digest}-{max(last, 0) if resume else last + 1}"


def files_for_use(checkpoint: str) -> tuple[str, ...]:
    """The files of a checkpoint that are not the trainer's state, whatever the method.

    Raises:
        CheckpointError: the checkpoint is unfinished.
    """
    return tuple(name for name in listed_files(checkpoint) if not name.startswith(f"{STATE_DIR}/"))


def read_metrics(uri: str) -> tuple[StepMetrics, ...]:
    """The steps in a metrics file, in order, without a last line that was broken off."""
    return tuple(iter_metrics(uri))


def iter_metrics(uri: str) -> Iterator[StepMetrics]:
    """:func:`read_metrics`, one step at a time; the losses of a skipped step are not a number."""
    if not exists(uri):
        return
    with local_copy(uri) as path, path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield from_json(json.loads(line))


def write_summary(run: str, summary: Mapping[str, object]) -> None:
    """Write how a run ended into its folder; a disk that is full is warned of."""
    try:
        data = json.dumps(summary, indent=1, ensure_ascii=False).encode()
        write_atomic(join(run, SUMMARY_NAME), data)
    except OSError as error:
        logger.warning("%s was not written: %s", join(run, SUMMARY_NAME), error)


class MetricsLog:
    """Steps seen by the driver, as lines of a file; a step repeated after a restart stands once.

    Memory holds only the lines that wait to be written. Lines are appended to a local file; one
    beside an object store is put there when it has grown by a share, so that all writes together
    stay linear. What cannot be written now, as on a full disk, waits for the next time.
    """

    def __init__(self, uri: str, on_metrics: OnMetrics | None = None) -> None:
        """Go on from the steps in the file ``uri``; each one added goes to ``on_metrics`` too."""
        self.uri = uri
        self._on_metrics = on_metrics
        self._store = None if is_local(uri) else TemporaryDirectory(prefix="hcp-")
        self._path = Path(self._store.name, METRICS_NAME) if self._store else local_path(uri)
        if self._store and exists(uri):
            self._path.write_bytes(read_bytes(uri))
        self._waiting: list[tuple[int, str]] = []
        self.count, self.last_step, self._bytes = self._whole_lines(before=None)
        self._in_store = self.count

    def add(self, metrics: StepMetrics) -> None:
        """Take one step; those at and after it are of an attempt that was given up."""
        if metrics.step <= self.last_step:
            self._waiting = [(step, line) for step, line in self._waiting if step < metrics.step]
            self.count, _, self._bytes = self._whole_lines(before=metrics.step)
            self.count += len(self._waiting)
            self._in_store = 0
        self._waiting.append((metrics.step, _line(metrics)))
        self.count, self.last_step = self.count + 1, metrics.step
        if self._on_metrics is not None:
            self._on_metrics(metrics)

    def write(self, *, at_least: int = 1) -> None:
        """Write where ``at_least`` so many steps came since the last time.

        Raises:
            OSError: they could not be written, and wait.
        """
        if len(self._waiting) >= at_least:
            self._append("".join(line for _, line in self._waiting).encode())
            self._waiting = []
        if self._store and self.count - self._in_store >= self._due(at_least):
            self._put()
            self._in_store = self.count - len(self._waiting)

    def _due(self, at_least: int) -> int:
        return max(at_least, self._in_store // _STORE_REWRITES) if at_least > 1 else 1

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("r+b" if self._path.exists() else "w+b") as file:
            file.truncate(self._bytes)  # what an earlier write, or a killed driver, left half
            file.seek(self._bytes)
            file.write(data)
        self._bytes += len(data)

    def _whole_lines(self, *, before: int | None) -> tuple[int, int, int]:
        """Number, last step and length in bytes of the file's leading lines of steps < before."""
        count, last, size = 0, 0, 0
        if not self._path.exists():
            return count, last, size
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                step = int(json.loads(line)["step"])
                if before is not None and step >= before:
                    break
                count, last, size = count + 1, step, size + len(line)
        return count, last, size

    def _put(self) -> None:
        directory, _, name = self.uri.rpartition("/")
        with staging(directory) as stage:
            shutil.copyfile(self._path, stage.path(name))
            stage.publish(name)


def _line(metrics: StepMetrics) -> str:
    return json.dumps(to_json(metrics)) + "\n"


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
