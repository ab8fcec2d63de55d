"""What a training shows in the Prefect UI while it runs: progress, a table, pictures, a link."""

import io
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image
from prefect import get_run_logger
from prefect.artifacts import create_link_artifact

from flows.artifacts import (
    SERVER,
    Cell,
    Progress,
    send_markdown,
    send_picture,
    send_table,
)
from storage.background import Background

if TYPE_CHECKING:
    from hcp.training.metrics import StepMetrics
    from hcp.training.watching import Event, SampleGrid, Validation

TABLE_EVERY_S = 300.0  # without a validation; each table is kept by the server
RECENT = 50  # steps that the table's means are over
PICTURE_PX = 1600
CLOSE_S = 20.0
Link = Callable[[], tuple[str | None, str] | None]
"""The page of something and a sentence about it, once they are known."""

_LOSSES = {
    "loss": "",
    "denoise": "loss",
    "alignment": "alignment",
    "attention_share": "attention_share",
}
"""Of a step, and the same of a validation, whose loss is the denoising one."""
_MEASURED = (
    "learning_rate", "grad_norm", "images_per_s", "data_wait", "device_memory_mib", "skipped",
    "bad_samples", "epoch",
)  # fmt: skip


class TrainingDisplay:
    """Takes a training's events and shows them by a thread of its own.

    A Prefect server that is away is warned of, and shown the newest state when it is back.
    """

    def __init__(self, *, total: int, link: Link = lambda: None) -> None:
        """Show a training of so many steps that has not begun."""
        self._progress = Progress("train", total=total, unit="steps")
        self._recent = deque["StepMetrics"](maxlen=RECENT)
        self._validation: Validation | None = None
        self._link, self._linked, self._begun = link, False, False
        self._table_at_s = time.monotonic()
        self._sender = Background["Event"](self._show, to=SERVER, say=get_run_logger().warning)

    def __call__(self, event: "Event") -> None:
        """Show one event soon."""
        self._sender.put(event)

    def close(self) -> None:
        """Show what is left, where the server is there."""
        self._sender.close(CLOSE_S)
        self._progress.close(CLOSE_S)

    def _show(self, events: "Sequence[Event]") -> None:
        from hcp.training.metrics import StepMetrics
        from hcp.training.watching import SampleGrid, Validation

        for event in events:
            if isinstance(event, StepMetrics):
                while self._recent and self._recent[-1].step >= event.step:
                    self._recent.pop()
                self._recent.append(event)
        validated = [event for event in events if isinstance(event, Validation)]
        self._validation = validated[-1] if validated else self._validation
        if self._recent:
            last = self._recent[-1]
            if not self._begun:
                self._progress.begin(last.step)
                self._begun = True
            self._progress.update(last.step, note(last, self._validation))
        if self._recent and (validated or self._table_is_due()):
            rows = table(self._recent, self._validation)
            send_table("training", rows, description=f"step {self._recent[-1].step}")
            self._table_at_s = time.monotonic()
        for event in events:
            if isinstance(event, SampleGrid):
                show_grid(event)
        self._show_link()

    def _table_is_due(self) -> bool:
        return time.monotonic() - self._table_at_s > TABLE_EVERY_S

    def _show_link(self) -> None:
        found = None if self._linked else self._link()
        if found is None:
            return
        url, text = found
        if url is not None:
            create_link_artifact(link=url, link_text="MLflow run", key="mlflow", description=text)
        else:
            send_markdown("mlflow", text, description="MLflow run")
        self._linked = True


def note(metrics: "StepMetrics", validation: "Validation | None") -> str:
    """The figures of the progress line."""
    parts = [f"loss {metrics.loss:.4f}", f"alignment {metrics.alignment:.4f}"]
    parts.append(f"{metrics.images_per_s:.1f} photos/s each worker")
    if metrics.attention_share is not None:
        parts.append(f"attention on people {100 * metrics.attention_share:.1f} %")
    if validation is not None:
        parts.append(f"validation loss {validation.loss:.4f} at {validation.step}")
    return ", ".join(parts)


def table(
    recent: "Sequence[StepMetrics]", validation: "Validation | None"
) -> list[dict[str, Cell]]:
    """One row a measure: its mean over the last steps, and the newest validation's."""
    rows: list[dict[str, Cell]] = []

    def add(name: str, training: float | None, validated: float | None) -> None:
        if training is not None or validated is not None:
            rows.append({"measure": name, "training": _cell(training), "val": _cell(validated)})

    for name, validated in _LOSSES.items():
        add(name, _mean(recent, name), getattr(validation, validated, None))
    for title, in_training, in_validation in (
        ("alignment", "alignment_by_stage", "alignment_by_stage"),
        ("attention_share", "", "attention_share_by_stage"),
    ):
        seen: Mapping[str, float] = getattr(validation, in_validation, {})
        trained = [getattr(metrics, in_training, {}) for metrics in recent]
        for stage in {**{s: 0 for each in trained for s in each}, **seen}:
            known = [each[stage] for each in trained if stage in each]
            mean = sum(known) / len(known) if known else None
            add(f"{title}, {stage}", mean, seen.get(stage))
    for name in _MEASURED:
        add(name, getattr(recent[-1], name, None), None)
    return rows


def show_grid(grid: "SampleGrid") -> None:
    """The pictures of one step, small enough to be sent inline."""
    picture = Image.open(io.BytesIO(grid.png)).convert("RGB")
    picture.thumbnail((PICTURE_PX, PICTURE_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88)
    send_picture("samples", buffer.getvalue(), description=f"step {grid.step}")


def _mean(recent: "Sequence[StepMetrics]", name: str) -> float | None:
    known = [value for m in recent if (value := getattr(m, name)) is not None]
    return sum(known) / len(known) if known else None


def _cell(value: float | None) -> Cell:
    return None if value is None else float(f"{value:.5g}")
