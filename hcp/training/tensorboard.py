"""TensorBoard's event files in a run's folder, written by the driver."""

import contextlib
import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hcp.training.metrics import StepMetrics
from hcp.training.watching import Event, RunStart, SampleGrid, curves
from storage.extras import explained_imports
from storage.locations import is_local, join, local_path, write_atomic

FOLDER = "tensorboard"
FLUSH_S = 10
_STORE_REWRITES = 4  # an object is written again when it has grown by a quarter


class EventFiles:
    """Takes a training's events; a run that goes on gets a further file beside the first.

    Where the folder is on an object store, which cannot append, the file is kept here and put there
    again when it has grown by a share, so that all writes together stay linear.
    """

    def __init__(self, folder: str) -> None:
        """Nothing is written before the first event.

        Raises:
            MissingExtraError: tensorboardX is not installed.
        """
        with explained_imports():
            from tensorboardX import SummaryWriter

        self._make: Any = SummaryWriter
        self._target = join(folder, FOLDER)
        self._writer: Any = None
        self._last = self._stored = 0
        self._scratch = contextlib.ExitStack()
        if is_local(self._target):
            self._folder = local_path(self._target)
        else:
            self._folder = Path(self._scratch.enter_context(tempfile.TemporaryDirectory()))

    def __call__(self, event: Event) -> None:
        """Write one event."""
        if isinstance(event, RunStart):
            self._last = event.last_step
            return
        if isinstance(event, StepMetrics):
            self._go_on(event.step)
        writer: Any = self._writer or self._open(None)
        if isinstance(event, SampleGrid):
            pixels = np.asarray(Image.open(io.BytesIO(event.png)))
            writer.add_image("samples", pixels, event.step, dataformats="HWC")
        else:
            for name, value in curves(event).items():
                writer.add_scalar(name, value, event.step)
        if not isinstance(event, StepMetrics):
            self._store()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._store(all_of_it=True)
        self._scratch.close()

    def _go_on(self, step: int) -> None:
        if step <= self._last:  # after a restart: what stood there is hidden
            self._open(step)
        self._last = step

    def _open(self, purge_step: int | None) -> Any:
        if self._writer is not None:
            self._writer.close()
        # A file's own name tells seconds alone: a second one in that time would replace it.
        suffix = f".{time.time_ns()}"
        self._writer = self._make(
            str(self._folder), purge_step=purge_step, flush_secs=FLUSH_S, filename_suffix=suffix
        )
        return self._writer

    def _store(self, *, all_of_it: bool = False) -> None:
        if is_local(self._target):
            return
        if not all_of_it:
            self._writer.flush()
        files = sorted(self._folder.iterdir())
        size = sum(file.stat().st_size for file in files)
        if all_of_it or size - self._stored > self._stored // _STORE_REWRITES:
            for file in files:
                write_atomic(join(self._target, file.name), file.read_bytes())
            self._stored = size
